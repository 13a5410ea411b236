/** What can be distrusted: identities, a key, a peer, a trust domain, an export of ours; as written and as kept. */
import { JumpgateError } from '../../base/errors.ts';
import { checkIdPattern } from '../identity/match.ts';
import { trySpiffeId } from '../identity/spiffe-id.ts';
import { tryTrustDomain } from '../identity/trust-domain.ts';

/**
 * `spiffe`: a SPIFFE ID or a pattern over IDs. `key`: whatever has this key in its chain. `peer`: a peer with its links,
 * by the name that it has here. `domain`: everything of a trust domain. `export`: an export of ours.
 */
export type DistrustKind = 'spiffe' | 'key' | 'peer' | 'domain' | 'export';

/** In the order of the help. */
export const DISTRUST_KINDS: readonly DistrustKind[] = ['spiffe', 'key', 'peer', 'domain', 'export'];

/** One thing that is distrusted. Made by {@link parseTarget} only. */
export interface DistrustTarget {
  readonly kind: DistrustKind;
  /**
   * As matched: an ID or pattern, the lower-case hex SHA-256 of a SubjectPublicKeyInfo, a trust domain, or the name of a
   * peer or export.
   */
  readonly name: string;
}

/** Names of peers and exports are DNS labels (`resources/fields`). */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const FINGERPRINT = /^[0-9a-f]{64}$/;
/** So much of what is wrong is shown. */
const SHOWN_CHARS_MAX = 200;

/** The target of this kind that `text` names. A fingerprint may have colons and capitals. Throws `distrust-malformed` (source caller). */
export function parseTarget(kind: DistrustKind, text: string): DistrustTarget {
  const name = kind === 'key' ? text.replaceAll(':', '').toLowerCase() : text;
  const problem = problemWith(kind, name);
  if (problem === undefined) return { kind, name };
  const message = `${problem}, found ${JSON.stringify(text.slice(0, SHOWN_CHARS_MAX))}`;
  throw new JumpgateError('distrust-malformed', message, { source: 'caller' });
}

/** The kind called `text`, or `undefined`. */
export function distrustKindOf(text: unknown): DistrustKind | undefined {
  return DISTRUST_KINDS.find((kind) => kind === text);
}

/** Whether a target is a pattern: those are looked at one by one. */
export function isPattern({ kind, name }: DistrustTarget): boolean {
  return kind === 'spiffe' && name.includes('*');
}

function problemWith(kind: DistrustKind, name: string): string | undefined {
  switch (kind) {
    case 'spiffe':
      // Reserved IDs (gateways, edges) are matched literally, so the check of patterns takes them too.
      return trySpiffeId(name) !== undefined && name.split('/').length > 3 ? undefined : checkIdPattern(name);
    case 'key':
      return FINGERPRINT.test(name) ? undefined : 'expected a fingerprint of 64 hexadecimal digits';
    case 'domain':
      return tryTrustDomain(name) === undefined ? 'expected a trust domain of 1 to 255 of a-z 0-9 . - _' : undefined;
    case 'peer':
    case 'export':
      return LABEL.test(name) ? undefined : `expected the name of ${kind === 'peer' ? 'a peer' : 'an export'}`;
    default:
      return kind satisfies never;
  }
}
