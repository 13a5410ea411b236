/** Patterns over SPIFFE IDs, anchored at both ends: `*` is one path segment, a final `**` one or more, all else literal. */
import { isReserved, problemWithSegment, trySpiffeId, type SpiffeId } from './spiffe-id.ts';
import { tryTrustDomain, type TrustDomain } from './trust-domain.ts';

const PREFIX = 'spiffe://';
/** As long as an ID may be. */
const PATTERN_OCTETS_MAX = 2048;

/** What is wrong with a pattern as written, or `undefined`. The trust domain is literal: no wildcard vouches for a domain. */
export function checkIdPattern(text: string): string | undefined {
  if (!text.startsWith(PREFIX)) return 'expected a pattern such as spiffe://us-east.example.org/ns/shop/sa/*';
  if (text.length > PATTERN_OCTETS_MAX) return `longer than ${PATTERN_OCTETS_MAX} octets`;
  const [domain = '', ...segments] = text.slice(PREFIX.length).split('/');
  if (domain.includes('*')) return 'wildcards are for path segments, the trust domain is literal';
  if (tryTrustDomain(domain) === undefined)
    return 'expected a trust domain of 1 to 255 of a-z 0-9 . - _ after spiffe://';
  if (segments.length === 0) return 'expected a path: a trust domain alone is no workload, /** matches all of them';
  const problem = problemWithSegments(segments);
  if (problem !== undefined) return problem;
  if (segments[0] === 'jumpgate' && trySpiffeId(text) === undefined) {
    return 'it matches nothing: IDs at and below /jumpgate are reserved and matched by their literal selves only';
  }
  return undefined;
}

/** Whether `id` is among those that `pattern` stands for. A malformed pattern matches nothing. */
export function matchesId(pattern: string, id: SpiffeId): boolean {
  if (pattern === id) return true;
  if (isReserved(id)) return false;
  const wanted = pattern.split('/');
  const found = id.split('/');
  const suffix = wanted.at(-1) === '**';
  if (wanted.length < 4) return false;
  if (suffix ? found.length < wanted.length : found.length !== wanted.length) return false;
  return wanted.every((segment, index) => {
    if (suffix && index === wanted.length - 1) return true;
    // The scheme and the trust domain, segments 0 to 2, are literal whatever they contain.
    return segment === found[index] || (segment === '*' && index > 2);
  });
}

/** The trust domain that a pattern over SPIFFE IDs speaks of; `undefined` for a malformed one. */
export function patternDomain(pattern: string): TrustDomain | undefined {
  const [, domain] = /^spiffe:\/\/([^/]*)/.exec(pattern) ?? [];
  return domain === undefined ? undefined : tryTrustDomain(domain);
}

function problemWithSegments(segments: readonly string[]): string | undefined {
  for (const [index, segment] of segments.entries()) {
    if (segment === '*') continue;
    if (segment === '**') {
      if (index < segments.length - 1) return '** stands at the end only';
      continue;
    }
    if (segment.includes('*')) return `a wildcard is a whole segment, found ${JSON.stringify(segment)}`;
    const problem = problemWithSegment(segment);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
