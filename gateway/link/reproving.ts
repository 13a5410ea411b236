/** The dialler's end of re-proof: asks for it when our SVID has changed, and in time before the other end's expires. */
import { type Clock } from '../../base/clock.ts';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { REPROOF_BYTES_MAX } from '../../trust-bundles/tls/reprove.ts';
import { type SvidSource, type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { type ConnectedHttp2 } from '../socket/http2-socket.ts';
import { type LinkProof, REPROVE_AUTHORITY, REPROVE_PATH } from './link-proof.ts';
import { nextAttemptMs, type LinkTerm } from './link-term.ts';
import { askSmall } from './small-body.ts';

/** A round trip, and a busy moment. */
const ANSWER_TIMEOUT_MS = 10_000;

/** Of the time that is left: over so much the links of a gateway whose SVID has changed are spread. */
const SPREAD_SHARE = 0.2;

/** What it needs of its link. */
export interface ReprovingOptions {
  readonly http2: Pick<ConnectedHttp2, 'openLate'>;
  readonly proof: LinkProof;
  readonly svid: SvidSource;
  /** Ours as the handshake showed it. */
  readonly shown: X509Svid;
  readonly term: () => LinkTerm;
  /** Both ends have proved who they are until `expiresAtMs`. */
  readonly onProved: (expiresAtMs: number) => void;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  /** Fields that say in the log which link it is. */
  readonly facts: Readonly<Record<string, string>>;
}

/** Goes on for the life of a link, until disposed of: also while calls that outlive their link's replacement go on. */
export class Reproving implements Disposable {
  readonly #options: ReprovingOptions;
  readonly #over = new AbortController();
  readonly #watch: Disposable;
  #timer: Disposable | undefined;
  #dueAtMs = Infinity;
  #isUnderWay = false;
  #isFailing = false;

  constructor(options: ReprovingOptions) {
    this.#options = options;
    this.#watch = options.svid.watch(() => this.#soon());
    this.#arm(options.term().reproveAtMs);
    // It may have changed during the handshake.
    if (options.svid.current() !== options.shown) this.#soon();
  }

  [Symbol.dispose](): void {
    this.#over.abort();
    this.#watch[Symbol.dispose]();
    this.#timer?.[Symbol.dispose]();
  }

  #soon(): void {
    const { clock, random, term } = this.#options;
    const nowMs = clock.now();
    const spreadMs = Math.max(0, term().endsAtMs - nowMs) * SPREAD_SHARE;
    if (!this.#isUnderWay) this.#arm(Math.min(this.#dueAtMs, nowMs + spreadMs * random()));
  }

  #arm(atMs: number): void {
    if (this.#over.signal.aborted) return;
    const { clock } = this.#options;
    this.#timer?.[Symbol.dispose]();
    this.#dueAtMs = atMs;
    this.#timer = clock.after(atMs - clock.now(), () => void this.#attempt());
  }

  async #attempt(): Promise<void> {
    const { clock, svid, term } = this.#options;
    const stated = svid.current();
    this.#isUnderWay = true;
    // Without an SVID there is nothing to state until there is one again, which is told.
    const isProved = stated !== undefined && (await this.#exchange(stated));
    this.#isUnderWay = false;
    this.#arm(isProved ? term().reproveAtMs : nextAttemptMs(term(), clock.now()));
    if (isProved && svid.current() !== stated) this.#soon();
  }

  async #exchange(stated: X509Svid): Promise<boolean> {
    const { facts, log, onProved, proof } = this.#options;
    try {
      const answer = await this.#ask(proof.begin(stated));
      const { expiresAtMs } = proof.hear(answer);
      onProved(Math.min(expiresAtMs, stated.notAfterMs));
      log.debug('link re-proved', facts);
      this.#isFailing = false;
      return true;
    } catch (error) {
      if (this.#over.signal.aborted) return false;
      // Said once, not at every attempt.
      const why = { ...facts, code: codeOf(error) ?? 'internal', reason: messageOf(error) };
      if (!this.#isFailing) log.warn('link cannot be re-proved and is replaced before it ends', why);
      this.#isFailing = true;
      return false;
    }
  }

  async #ask(json: string): Promise<Uint8Array> {
    const { clock, http2 } = this.#options;
    const deadline = new AbortController();
    const timer = clock.after(ANSWER_TIMEOUT_MS, () => deadline.abort());
    const signal = AbortSignal.any([this.#over.signal, deadline.signal]);
    const question = { method: 'POST', authority: REPROVE_AUTHORITY, path: REPROVE_PATH, json } as const;
    const open: ConnectedHttp2['openLate'] = (head, end, receiver) => http2.openLate(head, end, receiver);
    try {
      const { status, body } = await askSmall({ open }, question, { bytesMax: REPROOF_BYTES_MAX, signal });
      if (status === 200) return body;
      const message = `expected status 200 for a re-proof, found ${status}: the log of the peer says why`;
      throw new JumpgateError('reproof-refused', message, { source: 'peer', retry: 'later' });
    } finally {
      timer[Symbol.dispose]();
    }
  }
}
