/** SPIFFE IDs (SPIFFE-ID §2). */
import { type Brand, branded } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';
import { tryTrustDomain, type TrustDomain } from './trust-domain.ts';

/** A parsed SPIFFE ID such as `spiffe://us-east.example.org/ns/shop/sa/web`, at most 2,048 octets. */
export type SpiffeId = Brand<string, 'SpiffeId'>;

/** Scheme and authority mark. Upper case is refused although §2.4 compares without case: §2.1 demands lower case. */
const PREFIX = 'spiffe://';
/** SPIFFE-ID §2.3: this much must be accepted; nobody should make more. */
const ID_OCTETS_MAX = 2048;
/** SPIFFE-ID §2.2. */
const SEGMENT = /^[a-zA-Z0-9._-]+$/;
/** The path that is for gateways, in every trust domain, together with all below it. */
const RESERVED_PATH = '/jumpgate';

/**
 * The SPIFFE ID that `text` is, with or without a path. Parsed octet for octet, never by WHATWG URL, which tolerates
 * and normalises what §2 forbids. Throws `spiffe-id-malformed` (source config).
 */
export function parseSpiffeId(text: string): SpiffeId {
  const problem = problemWith(text);
  if (problem !== undefined) {
    const message = `malformed SPIFFE ID ${JSON.stringify(text.slice(0, 256))}: ${problem}`;
    throw new JumpgateError('spiffe-id-malformed', message, { source: 'config' });
  }
  return branded<string, 'SpiffeId'>(text);
}

/** The SPIFFE ID that `text` is, or `undefined` when it is none. */
export function trySpiffeId(text: string): SpiffeId | undefined {
  return problemWith(text) === undefined ? branded<string, 'SpiffeId'>(text) : undefined;
}

/** The trust domain named in `id`. */
export function trustDomainOf(id: SpiffeId): TrustDomain {
  // The parser has found the authority to be a trust domain; the brand of `id` is the proof.
  return branded<string, 'TrustDomain'>(authorityOf(id));
}

/** The path of `id`: empty, or such as `/ns/shop/sa/web`. */
export function pathOf(id: SpiffeId): string {
  return id.slice(PREFIX.length + authorityOf(id).length);
}

/** Whether `id` is `/jumpgate` or below: for gateways, never for workloads, and matched by no pattern but itself. */
export function isReserved(id: SpiffeId): boolean {
  const path = pathOf(id);
  return path === RESERVED_PATH || path.startsWith(`${RESERVED_PATH}/`);
}

/** The gateway ID that a mesh has unless it sets another: `spiffe://<trust domain>/jumpgate`. */
export function gatewayIdOf(trustDomain: TrustDomain): SpiffeId {
  return parseSpiffeId(`${PREFIX}${trustDomain}${RESERVED_PATH}`);
}

/** The caller that outside calls through the edge `edgeName` appear as. Throws `spiffe-id-malformed` for a name that is no path segment. */
export function edgeCallerId(trustDomain: TrustDomain, edgeName: string): SpiffeId {
  return parseSpiffeId(`${PREFIX}${trustDomain}${RESERVED_PATH}/edge/${edgeName}`);
}

/** What is wrong with one path segment (SPIFFE-ID §2.2), or `undefined`. */
export function problemWithSegment(segment: string): string | undefined {
  if (segment === '') return 'empty path segment or trailing slash';
  if (segment === '.' || segment === '..') return 'relative path segment';
  if (!SEGMENT.test(segment)) return 'path segments are made of a-z A-Z 0-9 . - _ only';
  return undefined;
}

function problemWith(text: string): string | undefined {
  if (!text.startsWith(PREFIX)) return 'expected spiffe:// in lower case at its start';
  if (text.length > ID_OCTETS_MAX) return `longer than ${ID_OCTETS_MAX} octets`;
  const authority = authorityOf(text);
  if (tryTrustDomain(authority) === undefined) {
    return 'expected a trust domain of 1 to 255 of a-z 0-9 . - _ after spiffe://, without user, port, query or fragment';
  }
  const path = text.slice(PREFIX.length + authority.length);
  if (path === '') return undefined;
  for (const segment of path.slice(1).split('/')) {
    const problem = problemWithSegment(segment);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function authorityOf(text: string): string {
  const slash = text.indexOf('/', PREFIX.length);
  return text.slice(PREFIX.length, slash === -1 ? undefined : slash);
}
