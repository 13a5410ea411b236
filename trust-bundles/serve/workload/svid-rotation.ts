/** The X.509-SVID of one workload: issued when it is first asked for, and anew at half of its life or when its signer changes. */
import { type Clock } from '../../../base/clock.ts';
import { type X509Svid } from '../../x509/svid.ts';

/** Who issues. */
export interface SvidIssuer {
  /** A new key and its SVID. Throws when it cannot. */
  issue(): X509Svid;
  /** Names the key that signs now: what another one has signed is to be replaced. */
  signer(): string;
  /** Calls `listener` when `signer` may have changed. */
  watch(listener: () => void): Disposable;
}

/** The wall clock is looked at this often: timers stop in a suspended machine. */
const LOOK_INTERVAL_MS_MAX = 60_000;
/** After a failure to issue, and never sooner. */
const LOOK_INTERVAL_MS_MIN = 1_000;

interface Held {
  readonly svid: X509Svid;
  readonly signer: string;
  readonly renewAtMs: number;
}

/** Issues nothing that nobody asks for; an SVID that has ended is forgotten with its key. */
export class SvidRotation implements Disposable {
  readonly #issuer: SvidIssuer;
  readonly #clock: Clock;
  readonly #watch: Disposable;
  readonly #listeners = new Set<{ readonly tell: () => void }>();
  #held: Held | undefined;
  #timer: Disposable | undefined;

  constructor(issuer: SvidIssuer, clock: Clock) {
    this.#issuer = issuer;
    this.#clock = clock;
    this.#watch = issuer.watch(() => {
      if (this.#held !== undefined && this.#isDue(this.#held)) this.#tell();
    });
  }

  /** The SVID now. Throws what issuing throws, if there is none that is still valid. */
  current(): X509Svid {
    const held = this.#held;
    if (held !== undefined && !this.#isDue(held)) return held.svid;
    try {
      this.#renew();
    } catch (error) {
      // Signed by a key that is not in use any more, it may not be believed any more either.
      if (held?.signer !== this.#issuer.signer() || held.svid.notAfterMs <= this.#clock.now()) throw error;
      this.#arm();
    }
    const { svid } = this.#held ?? {};
    if (svid === undefined) throw new Error('invariant broken: an SVID was issued');
    return svid;
  }

  /** Calls `listener` when the SVID is to be asked for again, until disposed of. */
  watch(listener: () => void): Disposable {
    const entry = { tell: listener };
    this.#listeners.add(entry);
    return { [Symbol.dispose]: () => void this.#listeners.delete(entry) };
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    this.#timer?.[Symbol.dispose]();
    this.#listeners.clear();
    this.#held = undefined;
  }

  #isDue(held: Held): boolean {
    return this.#clock.now() >= held.renewAtMs || held.signer !== this.#issuer.signer();
  }

  #renew(): void {
    const nowMs = this.#clock.now();
    const signer = this.#issuer.signer();
    const svid = this.#issuer.issue();
    this.#held = { svid, signer, renewAtMs: nowMs + (svid.notAfterMs - nowMs) / 2 };
    this.#arm();
  }

  #arm(): void {
    this.#timer?.[Symbol.dispose]();
    const leftMs = (this.#held?.renewAtMs ?? 0) - this.#clock.now();
    const delayMs = Math.max(LOOK_INTERVAL_MS_MIN, Math.min(leftMs, LOOK_INTERVAL_MS_MAX));
    this.#timer = this.#clock.after(delayMs, () => this.#look());
  }

  #look(): void {
    const held = this.#held;
    if (held === undefined) return;
    if (!this.#isDue(held)) {
      this.#arm();
      return;
    }
    this.#tell();
    // Nobody has asked for another one, or there was none to be had.
    if (this.#held !== held) return;
    if (held.svid.notAfterMs <= this.#clock.now()) this.#held = undefined;
    else this.#arm();
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener.tell();
  }
}
