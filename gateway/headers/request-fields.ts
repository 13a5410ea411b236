/** One pass over the fields of a request: what goes on, what a gateway reads, and what contradicts itself. */
import { type Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { isMethod } from '../message/method.ts';
import { field } from '../message/names.ts';
import { SINGLE_TRAITS, TRAIT, traitsOf } from './traits.ts';

const FORWARDED_TRAITS = TRAIT.forwardedHost | TRAIT.forwardedProto | TRAIT.forwardedFor;

const TE_TRAILERS = field('te', 'trailers');

/** What a gateway reads of the fields of a request. */
export class RequestFields {
  /** What goes on. The gateway's own fields are pushed behind. */
  readonly kept: Field[] = [];
  /** How many of `kept` the request brought. */
  keptCount = 0;
  /** Two values where there is one, or a host that is not the authority. */
  contradictory = false;
  /** Whether the content type is that of gRPC. */
  grpc = false;
  grpcTimeout: string | undefined = undefined;
  /** Fields that gateways write, as the other end of a link wrote them; a caller's are read and not believed. */
  linkTimeout: string | undefined = undefined;
  linkCaller: Field | undefined = undefined;
  /** The values of all `jumpgate-hops`, joined by commas. */
  linkHops: string | undefined = undefined;
  /** `undefined` also where there are several. */
  forwardedHost: Field | undefined = undefined;
  forwardedProto: Field | undefined = undefined;
  forwardedFor: Field | undefined = undefined;
}

/** Reads the fields of `head`; those of one hop and those that only gateways write are not kept. */
export function readRequestFields(head: RequestHead): RequestFields {
  const read = new RequestFields();
  let seen = 0;
  let trailers = false;
  for (const each of head.fields) {
    const traits = traitsOf(each.name);
    if ((traits & TRAIT.dropFromRequest) === 0) read.kept.push(each);
    if (traits === 0) continue;
    if ((traits & seen & SINGLE_TRAITS) !== 0) read.contradictory = true;
    if ((traits & TRAIT.contentType) !== 0) read.grpc = isGrpcType(each.value);
    else if ((traits & TRAIT.te) !== 0) trailers ||= asksForTrailers(each.value);
    else if ((traits & TRAIT.host) !== 0) read.contradictory ||= !isSameHost(each.value, head.authority.value);
    else readOwn(read, each, traits, seen);
    seen |= traits;
  }
  if (trailers) read.kept.push(TE_TRAILERS);
  read.keptCount = read.kept.length;
  return read;
}

/** Why a method is refused whatever policy says. A WebSocket's CONNECT has a protocol and is no such method. */
export function methodProblem(
  method: string,
  protocol: string | undefined,
): 'request-malformed' | 'method-unsupported' | undefined {
  if (method === 'GET' || method === 'POST' || protocol !== undefined) return undefined;
  if (!isMethod(method)) return 'request-malformed';
  // They make a tunnel, or echo the fields that gateways add.
  return method === 'CONNECT' || method === 'TRACE' ? 'method-unsupported' : undefined;
}

/** The gateway's own fields of a call: who called, as the entry said it. Pushed behind what the request brought. */
export function pushForwarded(read: RequestFields): void {
  if (read.forwardedHost !== undefined) read.kept.push(read.forwardedHost);
  if (read.forwardedProto !== undefined) read.kept.push(read.forwardedProto);
  if (read.forwardedFor !== undefined) read.kept.push(read.forwardedFor);
}

/** application/grpc, +suffix or ;parameters (gRPC over HTTP/2). */
function isGrpcType(value: string): boolean {
  return value === 'application/grpc' || /^application\/grpc(?:$|[+;])/i.test(value);
}

function readOwn(read: RequestFields, each: Field, traits: number, seen: number): void {
  const sole = (traits & seen & FORWARDED_TRAITS) === 0 ? each : undefined;
  if ((traits & TRAIT.grpcTimeout) !== 0) read.grpcTimeout = each.value;
  else if ((traits & TRAIT.linkTimeout) !== 0) read.linkTimeout = each.value;
  else if ((traits & TRAIT.linkCaller) !== 0) read.linkCaller = each;
  else if ((traits & TRAIT.linkHops) !== 0) read.linkHops = joined(read.linkHops, each.value);
  else if ((traits & TRAIT.forwardedHost) !== 0) read.forwardedHost = sole;
  else if ((traits & TRAIT.forwardedProto) !== 0) read.forwardedProto = sole;
  else if ((traits & TRAIT.forwardedFor) !== 0) read.forwardedFor = sole;
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before},${value}`;
}

function asksForTrailers(value: string): boolean {
  return value === 'trailers' || value.split(',').some((each) => /^trailers$/i.test(each.trim()));
}

function isSameHost(host: string, authority: string): boolean {
  return host === authority || host.toLowerCase() === authority.toLowerCase();
}
