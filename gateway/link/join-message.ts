/** What crosses when an invite is redeemed: requests and answers of `POST /preflight` and `POST /join`. */
import { asList, asRecord } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { identityDocument, readIdentity, type MeshIdentity } from '../../federation/peering/invite.ts';
import { LINK_VERSIONS, type Hello } from './hello.ts';

/** ALPN of a connection that redeems an invite, and the authority of its requests. */
export const JOIN_PROTOCOL = 'jumpgate-join';
export const JOIN_AUTHORITY = 'join.jumpgate';

/** A request carries one bundle. */
export const JOIN_BYTES_MAX = 64 * 1024;

/** Beyond this the two clocks disagree about what is expired; SVIDs are backdated by 10 minutes. */
export const CLOCK_DIFFERENCE_MS_MAX = 5 * 60 * 1000;

/** What the joiner sends to either endpoint. */
export interface JoinMessage {
  readonly id: string;
  readonly secret: string;
  readonly versions: Hello['versions'];
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  readonly joiner: MeshIdentity;
}

/** Whether one of the joiner's addresses can be reached from the inviter. */
export interface Reach {
  readonly address: string;
  readonly reachable: 'yes' | 'no' | 'unknown';
  readonly message: string;
}

/** The answer; a refusal has a stable code and a sentence. */
export type JoinAnswer =
  | {
      readonly kind: 'ready';
      readonly versions: Hello['versions'];
      readonly nowMs: number;
      readonly reach: readonly Reach[];
    }
  | { readonly kind: 'joined'; readonly awaitingApproval: boolean }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

/** The JSON of a request. */
export function writeJoinMessage(message: JoinMessage): string {
  return JSON.stringify({ ...message, joiner: identityDocument(message.joiner) });
}

/** Only who presents which invite: all that is read before the secret is known to be right. `undefined` when it is not there. */
export function readPresented(
  bytes: Uint8Array,
): { readonly id: string; readonly secret: string; readonly rest: unknown } | undefined {
  try {
    const rest = parseJson(bytes, { maxBytes: JOIN_BYTES_MAX, maxDepth: 8 });
    const { id, secret } = asRecord(rest) ?? {};
    return typeof id === 'string' && typeof secret === 'string' ? { id, secret, rest } : undefined;
  } catch (error) {
    if (error instanceof JumpgateError) return undefined;
    throw error;
  }
}

/** The rest of a request. Throws `identity-malformed`, `bundle-malformed` or `join-malformed`. */
export function readJoinMessage(presented: {
  readonly id: string;
  readonly secret: string;
  readonly rest: unknown;
}): JoinMessage {
  const { id, secret } = presented;
  const record = asRecord(presented.rest) ?? {};
  const { nowMs } = record;
  if (typeof nowMs !== 'number') throw malformed('a time');
  return { id, secret, versions: versionsOf(record['versions']), nowMs, joiner: readIdentity(record['joiner']) };
}

/** Reads an answer. Throws `join-malformed`. */
export function readJoinAnswer(bytes: Uint8Array): JoinAnswer {
  const record = asRecord(parseJson(bytes, { maxBytes: JOIN_BYTES_MAX, maxDepth: 8 })) ?? {};
  const { kind, nowMs, awaitingApproval, code, message } = record;
  if (kind === 'joined' && typeof awaitingApproval === 'boolean') return { kind, awaitingApproval };
  if (kind === 'refused' && typeof code === 'string' && typeof message === 'string') {
    return { kind, code: code.slice(0, 64), message: message.slice(0, 1_000) };
  }
  if (kind === 'ready' && typeof nowMs === 'number') {
    return { kind, versions: versionsOf(record['versions']), nowMs, reach: reachOf(record['reach']) };
  }
  throw malformed('an answer');
}

/** Our versions, as both sides send them. */
export const JOIN_VERSIONS: Hello['versions'] = LINK_VERSIONS;

function versionsOf(value: unknown): Hello['versions'] {
  const { min, max } = asRecord(value) ?? {};
  if (typeof min !== 'number' || typeof max !== 'number') throw malformed('versions with min and max');
  return { min, max };
}

function reachOf(value: unknown): readonly Reach[] {
  return (asList(value) ?? []).slice(0, 64).flatMap((item) => {
    const { address, reachable, message } = asRecord(item) ?? {};
    if (typeof address !== 'string' || typeof message !== 'string') return [];
    if (reachable !== 'yes' && reachable !== 'no' && reachable !== 'unknown') return [];
    return [{ address, reachable, message }];
  });
}

function malformed(expected: string): JumpgateError {
  return new JumpgateError('join-malformed', `expected ${expected}, found something else`, { source: 'peer' });
}
