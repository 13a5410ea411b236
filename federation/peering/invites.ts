/** Invites that this mesh has made, one row each: redeemed at most once, by compare-and-set, across all replicas. */
import { timingSafeEqual } from 'node:crypto';

import { asRecord } from '../../base/brand.ts';
import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type Row, type Store } from '../../base/store/store.ts';
import { tryTrustDomain, type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import {
  encodeInvite,
  identityDocument,
  newInviteSecret,
  readIdentity,
  secretHash,
  type Invite,
  type MeshIdentity,
} from './invite.ts';

const ROW_PREFIX = 'invites/';
const FORMAT = 1;

/** Long enough to paste it elsewhere, short enough that a forgotten one is worthless. */
const INVITE_TTL_MS = 15 * 60 * 1000;

/** Used and expired rows are kept so long, to say so to whoever replays them. */
const KEEP_MS = 24 * 60 * 60 * 1000;

/** `open`, then `held` (redeemed, waits for `approve`) or `used`. */
export interface InviteRow {
  readonly id: string;
  /** SHA-256 of the secret, lower-case hex. */
  readonly secretHash: string;
  /** The name that the redeeming mesh gets here. */
  readonly peer: string;
  readonly audience: TrustDomain;
  readonly expiresAtMs: number;
  readonly approve: boolean;
  readonly state: 'open' | 'held' | 'used';
  /** Who redeemed it; kept while it is held. */
  readonly redeemedBy: MeshIdentity | undefined;
}

/** An invite that was presented with the right secret, and the version of its row. */
export interface PresentedInvite {
  readonly row: InviteRow;
  readonly version: string;
}

/** What to invite. */
export interface InviteSpec {
  readonly mesh: string;
  readonly inviter: MeshIdentity;
  readonly peer: string;
  readonly audience: TrustDomain;
  readonly approve: boolean;
  /** Default {@link INVITE_TTL_MS}. */
  readonly ttlMs?: number;
}

/** The rows `invites/<id>`. */
export class InviteBook {
  readonly #store: Store;
  readonly #clock: Clock;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Makes an invite; its token is nowhere but in the answer. */
  async issue(
    spec: InviteSpec,
  ): Promise<{ readonly id: string; readonly token: string; readonly expiresAtMs: number }> {
    await this.#sweep();
    const { id, secret } = newInviteSecret();
    const expiresAtMs = this.#clock.now() + (spec.ttlMs ?? INVITE_TTL_MS);
    const { mesh, inviter, audience, peer, approve } = spec;
    const invite: Invite = { id, secret, mesh, inviter, audience, expiresAtMs };
    const facts = { id, secretHash: secretHash(secret), peer, audience, expiresAtMs, approve };
    await this.#put({ ...facts, state: 'open', redeemedBy: undefined }, 'absent');
    return { id, token: encodeInvite(invite), expiresAtMs };
  }

  /** The invite if id and secret are right, used or expired though it may be; else `undefined`, whatever is wrong. */
  async present(id: string, secret: string): Promise<PresentedInvite | undefined> {
    const shown = Buffer.from(secretHash(secret), 'hex');
    const stored = /^[0-9a-f]{32}$/.test(id) ? await this.#store.get(`${ROW_PREFIX}${id}`) : undefined;
    const row = stored && readRow(stored);
    // Compared also when there is no row, so that the time tells nothing about ids.
    const expected = row === undefined ? Buffer.alloc(shown.length) : Buffer.from(row.secretHash, 'hex');
    const right = expected.length === shown.length && timingSafeEqual(expected, shown);
    return right && row !== undefined && stored !== undefined ? { row, version: stored.version } : undefined;
  }

  /** Takes the invite for `by`. `undefined`: somebody was faster. */
  async redeem(presented: PresentedInvite, by: MeshIdentity): Promise<PresentedInvite | undefined> {
    const { row, version } = presented;
    if (row.state !== 'open' || row.expiresAtMs <= this.#clock.now()) return undefined;
    const redeemed: InviteRow = {
      ...row,
      state: row.approve ? 'held' : 'used',
      redeemedBy: row.approve ? by : undefined,
    };
    return this.#tryPut(redeemed, version);
  }

  /** Puts a redeemed invite back, when what it was redeemed for failed. */
  async restore(redeemed: PresentedInvite): Promise<void> {
    await this.#tryPut({ ...redeemed.row, state: 'open', redeemedBy: undefined }, redeemed.version);
  }

  /** Redeemed invites that wait for an operator. */
  async held(): Promise<readonly PresentedInvite[]> {
    const rows = await this.#store.list(ROW_PREFIX);
    return rows.flatMap((stored) => {
      const row = readRow(stored);
      return row?.state === 'held' ? [{ row, version: stored.version }] : [];
    });
  }

  /** Marks a held invite as used, once its peer is registered. `false`: another replica was faster. */
  async settle(held: PresentedInvite): Promise<boolean> {
    return (await this.#tryPut({ ...held.row, state: 'used', redeemedBy: undefined }, held.version)) !== undefined;
  }

  async #put(row: InviteRow, expected: string): Promise<void> {
    if ((await this.#tryPut(row, expected)) !== undefined) return;
    throw new JumpgateError('store-contended', 'an invite of this id exists already', {
      source: 'local',
      retry: 'later',
    });
  }

  async #tryPut(row: InviteRow, expected: string): Promise<PresentedInvite | undefined> {
    const outcome = await this.#store.put(`${ROW_PREFIX}${row.id}`, writeRow(row), expected);
    return outcome.kind === 'stored' ? { row, version: outcome.version } : undefined;
  }

  /** Rows that nobody can learn anything from any more go when the next invite is made. */
  async #sweep(): Promise<void> {
    for (const stored of await this.#store.list(ROW_PREFIX)) {
      const row = readRow(stored);
      const old = row !== undefined && row.state !== 'held' && row.expiresAtMs + KEEP_MS < this.#clock.now();
      if (old) await this.#store.remove(stored.key, stored.version);
    }
  }
}

function writeRow(row: InviteRow): string {
  const redeemedBy = row.redeemedBy === undefined ? null : identityDocument(row.redeemedBy);
  return JSON.stringify({ format: FORMAT, ...row, redeemedBy });
}

/** A row that cannot be read redeems nothing. */
function readRow(stored: Row): InviteRow | undefined {
  try {
    const row = asRecord(parseJson(stored.value));
    if (row?.['format'] !== FORMAT) return undefined;
    const { id, secretHash: hash, peer, audience, expiresAtMs, approve, state, redeemedBy } = row;
    const domain = typeof audience === 'string' ? tryTrustDomain(audience) : undefined;
    if (typeof id !== 'string' || typeof hash !== 'string' || typeof peer !== 'string') return undefined;
    if (domain === undefined || typeof expiresAtMs !== 'number' || typeof approve !== 'boolean') return undefined;
    if (state !== 'open' && state !== 'held' && state !== 'used') return undefined;
    const by = redeemedBy === null ? undefined : readIdentity(redeemedBy);
    return { id, secretHash: hash, peer, audience: domain, expiresAtMs, approve, state, redeemedBy: by };
  } catch (error) {
    if (error instanceof JumpgateError) return undefined;
    throw error;
  }
}
