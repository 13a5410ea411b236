/** The identity that a source outside of us has given: the last good one is held until a better one comes, it ends, or it is taken back. */
import { type Clock } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { type SpiffeId, trustDomainOf } from '../identity/spiffe-id.ts';
import { type SvidSource, type X509Svid } from '../x509/svid.ts';
import {
  type IdentityChange,
  type IdentityProblem,
  type IdentitySourceKind,
  type IdentityStatus,
} from './identity-source.ts';
import { haveSameAuthorities, judgeOffer, type OfferedIdentity } from './offered-identity.ts';
import { type OwnSequence } from './own-sequence.ts';

/** What holding needs. */
export interface HeldIdentityOptions {
  readonly kind: IdentitySourceKind;
  readonly from: string;
  readonly gatewayId: SpiffeId;
  readonly sequence: OwnSequence;
  /** Published with our bundle. */
  readonly refreshHintSeconds: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Timers are monotonic and stop in a suspended machine: the wall clock is looked at this often. */
const CHECK_INTERVAL_MS_MAX = 60_000;

/**
 * ```
 * none ──take──> held ──take──> held
 *                  └──ends, or withdraw──> none
 * ```
 */
export class HeldIdentity implements Disposable {
  readonly svid: SvidSource;
  readonly #options: HeldIdentityOptions;
  readonly #listeners = new Set<(change: IdentityChange) => void>();
  #svid: X509Svid | undefined;
  #bundle: Bundle | undefined;
  #problem: IdentityProblem | undefined;
  #timer: Disposable | undefined;

  constructor(options: HeldIdentityOptions) {
    this.#options = options;
    this.svid = {
      current: () => this.#svid,
      watch: (listener) =>
        this.watch((change) => {
          if (change === 'svid') listener(this.#svid);
        }),
    };
  }

  bundle(): Bundle | undefined {
    return this.#bundle;
  }

  status(): IdentityStatus {
    return { kind: this.#options.kind, from: this.#options.from, problem: this.#problem };
  }

  watch(listener: (change: IdentityChange) => void): Disposable {
    // A function of its own, so that the same listener can watch twice.
    const entry = (change: IdentityChange): void => listener(change);
    this.#listeners.add(entry);
    return { [Symbol.dispose]: () => void this.#listeners.delete(entry) };
  }

  /**
   * Puts an offer in use, whole or not at all. Throws what {@link judgeOffer} throws, and then everything is
   * as before. One at a time: wait for it.
   */
  async take(offer: OfferedIdentity): Promise<void> {
    const { clock, gatewayId, log, refreshHintSeconds, sequence } = this.#options;
    const svid = judgeOffer(offer, { gatewayId, nowMs: clock.now() });
    const isOtherBundle = this.#bundle === undefined || !haveSameAuthorities(this.#bundle, offer);
    if (isOtherBundle) {
      const { x509Authorities, jwtAuthorities } = offer;
      const trustDomain = trustDomainOf(gatewayId);
      const authorities = { trustDomain, x509Authorities, jwtAuthorities };
      this.#bundle = { ...authorities, sequence: await sequence.next(), refreshHintSeconds };
    }
    const isOtherSvid = !hasSameChain(this.#svid, svid);
    if (isOtherSvid) this.#svid = svid;
    this.#problem = undefined;
    this.#arm();
    // First what others verify us with, then what they will verify.
    if (isOtherBundle) this.#tell('bundle');
    if (!isOtherSvid) return;
    const expires = new Date(svid.notAfterMs).toISOString();
    log.info('own svid is in use', { id: svid.id, expires, from: this.#options.from });
    this.#tell('svid');
  }

  /** What is held stays, and is not the newest: `error` says why. Logged once per kind of failure. */
  failed(error: unknown): void {
    const { clock, from, log } = this.#options;
    const [code, message] = [codeOf(error) ?? 'internal', messageOf(error)];
    const known = this.#problem;
    this.#problem = { code, message, sinceMs: known?.sinceMs ?? clock.now() };
    if (known?.code === code && known.message === message) return;
    const inUse = this.#svid === undefined ? 'none' : 'the last good one';
    log.error('own identity cannot be renewed', { from, code, reason: message, inUse });
  }

  /** Uses nothing of it any more: whoever gave it has taken it back, for the reason `error`. */
  withdraw(error: unknown): void {
    this.failed(error);
    const [hadSvid, hadBundle] = [this.#svid !== undefined, this.#bundle !== undefined];
    this.#svid = undefined;
    this.#bundle = undefined;
    this.#timer?.[Symbol.dispose]();
    if (hadSvid) this.#tell('svid');
    if (hadBundle) this.#tell('bundle');
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#listeners.clear();
  }

  #arm(): void {
    this.#timer?.[Symbol.dispose]();
    const svid = this.#svid;
    if (svid === undefined) return;
    const { clock } = this.#options;
    // It is good in its last millisecond still.
    const leftMs = svid.notAfterMs + 1 - clock.now();
    this.#timer = clock.after(Math.max(0, Math.min(leftMs, CHECK_INTERVAL_MS_MAX)), () => this.#look());
  }

  /** What has ended only makes peers refuse us: our own reason for not showing it is the better one. */
  #look(): void {
    const { clock, log } = this.#options;
    if (this.#svid === undefined || clock.now() <= this.#svid.notAfterMs) {
      this.#arm();
      return;
    }
    const expired = new Date(this.#svid.notAfterMs).toISOString();
    this.#svid = undefined;
    const message = `the svid ended at ${expired}, and no other has come${this.#problem === undefined ? '' : `: ${this.#problem.message}`}`;
    this.#problem = { code: 'svid-expired', message, sinceMs: clock.now() };
    log.error('own svid has ended', { expired, from: this.#options.from });
    this.#tell('svid');
  }

  #tell(change: IdentityChange): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(change);
      } catch (error) {
        this.#options.log.error('listener of the own identity failed', { error });
      }
    }
  }
}

function hasSameChain(one: X509Svid | undefined, other: X509Svid): boolean {
  return (
    one?.chain.length === other.chain.length &&
    other.chain.every((der, at) => Buffer.compare(der, one.chain[at] ?? new Uint8Array()) === 0)
  );
}
