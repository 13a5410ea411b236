/** What a field's name means to a gateway, derived once per name: what is removed, what is single, what is read. */
import { type FieldName } from '../message/field.ts';

/** Bits of {@link traitsOf}. */
export const TRAIT = {
  dropFromRequest: 1 << 0,
  dropFromResponse: 1 << 1,
  dropFromTrailers: 1 << 2,
  contentLength: 1 << 3,
  contentType: 1 << 4,
  grpcTimeout: 1 << 5,
  grpcStatus: 1 << 6,
  te: 1 << 7,
  host: 1 << 8,
  linkCaller: 1 << 9,
  linkHops: 1 << 10,
  linkTimeout: 1 << 11,
  linkReason: 1 << 12,
  forwardedHost: 1 << 13,
  forwardedProto: 1 << 14,
  forwardedFor: 1 << 15,
  authorization: 1 << 16,
} as const;

/** Fields that have one value: two are two opinions of who or what is meant. */
export const SINGLE_TRAITS =
  TRAIT.host |
  TRAIT.contentLength |
  TRAIT.contentType |
  TRAIT.authorization |
  TRAIT.grpcTimeout |
  TRAIT.linkTimeout |
  TRAIT.linkCaller;

/** Fields of one connection (RFC 9110 §7.6.1, RFC 9113 §8.2.2), and `host`, which becomes the authority. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
  'host',
]);

/** Fields about the caller that gateways write: what came in under these names was somebody's claim. */
const GATEWAYS_OWN = new Set([
  'x-forwarded-client-cert',
  'forwarded',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-for',
]);

/** Others that mean something only before the body: nothing in trailers frames, routes or authenticates (RFC 9110 §6.5.1). */
const HEADERS_ONLY = new Set([
  'authorization',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'grpc-timeout',
  'set-cookie',
  'te',
  'trailer',
]);

const READ: ReadonlyMap<string, number> = new Map([
  ['authorization', TRAIT.authorization],
  ['content-length', TRAIT.contentLength],
  ['content-type', TRAIT.contentType],
  ['grpc-timeout', TRAIT.grpcTimeout],
  ['grpc-status', TRAIT.grpcStatus],
  ['te', TRAIT.te],
  ['host', TRAIT.host],
  ['jumpgate-caller', TRAIT.linkCaller],
  ['jumpgate-hops', TRAIT.linkHops],
  ['jumpgate-timeout', TRAIT.linkTimeout],
  ['jumpgate-reason', TRAIT.linkReason],
  ['x-forwarded-host', TRAIT.forwardedHost],
  ['x-forwarded-proto', TRAIT.forwardedProto],
  ['x-forwarded-for', TRAIT.forwardedFor],
]);

/** The bits of a name; 0 for a field that passes and means nothing here. */
export function traitsOf(name: FieldName): number {
  if (name.traits < 0) name.traits = derive(name.text);
  return name.traits;
}

function derive(text: string): number {
  // CGI-like services take "_" for "-": what is removed is removed in both spellings, and read in one.
  const dashed = text.replaceAll('_', '-');
  const own = dashed.startsWith('jumpgate-') || GATEWAYS_OWN.has(dashed);
  const isHops = HOP_BY_HOP.has(dashed) || dashed.startsWith('proxy-');
  const isSecondLength = dashed === 'content-length' && dashed !== text;
  let traits = READ.get(text) ?? 0;
  if (own || isHops || isSecondLength || text === 'te') {
    traits |= TRAIT.dropFromRequest | TRAIT.dropFromResponse;
  }
  // Written anew: it tells what is left.
  if (text === 'grpc-timeout') traits |= TRAIT.dropFromRequest;
  if (own || isHops || HEADERS_ONLY.has(dashed) || text.startsWith(':')) {
    traits |= TRAIT.dropFromTrailers;
  }
  return traits;
}
