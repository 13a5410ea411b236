/** Keeps `linksPerPeer` links up to every address of every peer: dials, replaces before SVIDs expire, backs off when it fails. */
import { sleep, type Clock } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { Lifetime } from '../../base/lifetime.ts';
import { type Logger } from '../../base/log.ts';
import { backoffMs, type BackoffOptions } from '../../base/backoff.ts';
import { type HostPort } from '../../federation/resources/values.ts';
import { type SnapshotPeer, type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type Lookup } from '../../trust-bundles/tls/dial.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { type BufferPool } from '../message/output.ts';
import { dialLink, type DialledLink } from './dialled-link.ts';
import { isQuarantined } from './gateway-identity.ts';
import { type Hello } from './hello.ts';
import { type LinkPool } from './pool.ts';
import { LinkSpread } from './spread.ts';

/** Full jitter up to 10 s: the other side of a rolling restart is found soon, an absent peer costs next to nothing. */
const REDIAL: BackoffOptions = { minMs: 100, maxMs: 10_000 };

/** A peer that comes back wakes us with each of its links, and one that has lost its mind with every hello. */
const WAKE_EVERY_MS = 1_000;

/** A link that lived so long was no failure, and is dialled again at once. */
const LIVED_MS = 10_000;

/** A link whose PING has no answer for so long is cut: the network forgot it, and TCP would take minutes. */
const PING_EVERY_MS = 15_000;
const PING_TIMEOUT_MS = 10_000;

/** What dialling needs. */
export interface LinkDialerOptions {
  readonly snapshot: SnapshotSource;
  readonly svid: SvidSource;
  readonly pool: LinkPool;
  readonly hello: Hello;
  readonly linksPerPeer: number;
  readonly buffers: BufferPool;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
  readonly backoff?: BackoffOptions;
  readonly lookup?: Lookup;
}

/** Why the last attempt at an address failed. */
export interface DialFailure {
  readonly peer: string;
  readonly address: string;
  /** Code of the error: `dns`, `tcp`, `tls`, `untrusted`, `hello`, `version`, … */
  readonly code: string;
  readonly message: string;
}

interface Slot {
  readonly key: string;
  readonly peer: SnapshotPeer;
  readonly address: HostPort;
}

/** A slot that is kept. */
interface KeptSlot extends Slot {
  readonly controller: AbortController;
  /** The peer has shown that it is there since the last attempt began. */
  isWoken: boolean;
  /** Ends the wait for the next attempt. */
  wake: () => void;
}

/** See the head of this file. Follows the snapshot from its construction on. */
export class LinkDialer implements AsyncDisposable {
  readonly #options: LinkDialerOptions;
  readonly #lifetime: Lifetime;
  readonly #slots = new Map<string, KeptSlot>();
  readonly #failures = new Map<string, DialFailure>();
  /** What makes a link that is up due before its time. */
  readonly #crowding = new Map<DialledLink, () => void>();
  /** Monotonic milliseconds by peer. */
  readonly #wokenAtMs = new Map<string, number>();

  constructor(options: LinkDialerOptions) {
    this.#options = options;
    this.#lifetime = new Lifetime((task, error) => options.log.error('link task failed', { task, error }));
    this.#lifetime.use(options.snapshot.watch(() => this.#follow()));
    this.#lifetime.use(options.svid.watch((svid) => this.#svidChanged(svid !== undefined)));
    const { pool, clock, random = Math.random } = options;
    const replace = (link: DialledLink): void => this.#crowding.get(link)?.();
    this.#lifetime.use(new LinkSpread({ pool, clock, random, replace }));
    this.#follow();
  }

  /** The failures of addresses that have no link. */
  failures(): readonly DialFailure[] {
    return [...this.#failures.values()];
  }

  /** The peer is there: whoever waits to dial it again dials now. At most once a second for each peer. */
  wake(peer: string): void {
    const nowMs = this.#options.clock.monotonic();
    if (nowMs - (this.#wokenAtMs.get(peer) ?? -Infinity) < WAKE_EVERY_MS) return;
    for (const slot of this.#slots.values()) {
      if (slot.peer.name !== peer) continue;
      this.#wokenAtMs.set(peer, nowMs);
      slot.isWoken = true;
      slot.wake();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lifetime[Symbol.asyncDispose]();
  }

  #follow(): void {
    const { snapshot, pool, clock, log } = this.#options;
    const now = snapshot.current();
    const wanted = new Map(this.#wanted(now.peers.values()).map((slot) => [slot.key, slot]));
    for (const [key, slot] of [...this.#slots]) {
      if (wanted.has(key)) continue;
      this.#slots.delete(key);
      this.#failures.delete(key);
      slot.controller.abort();
      if (!now.peers.has(slot.peer.name)) this.#wokenAtMs.delete(slot.peer.name);
    }
    const closed = pool.reverify(now, clock.now());
    if (closed > 0) log.info('links closed that no longer verify', { closed });
    for (const slot of wanted.values()) {
      // What waits for a bundle would only be refused by ourselves.
      if (!this.#slots.has(slot.key) && now.bundles.has(slot.peer.trustDomain)) this.#start(slot);
    }
  }

  /** Without an SVID no link of ours takes another call; with one again, nobody waits for it. */
  #svidChanged(isHeld: boolean): void {
    if (!isHeld) for (const link of this.#options.pool.all()) link.retire();
    else
      for (const [key, slot] of this.#slots) {
        if (this.#failures.get(key)?.code !== 'no-svid') continue;
        slot.isWoken = true;
        slot.wake();
      }
  }

  #wanted(peers: Iterable<SnapshotPeer>): readonly Slot[] {
    const { snapshot } = this.#options;
    return [...peers]
      .filter((peer) => !isQuarantined(snapshot.current(), peer))
      .flatMap((peer) =>
        peer.gateways.flatMap((address) =>
          Array.from({ length: this.#options.linksPerPeer }, (_, index) => ({
            key: [peer.name, peer.trustDomain, peer.gatewayId, address.host, address.port, index].join(' '),
            peer,
            address,
          })),
        ),
      );
  }

  #start(wanted: Slot): void {
    const controller = new AbortController();
    const slot: KeptSlot = { ...wanted, controller, isWoken: false, wake: () => undefined };
    this.#slots.set(slot.key, slot);
    this.#lifetime.run(`links to ${slot.peer.name}`, async (stopped) => {
      const signal = AbortSignal.any([stopped, controller.signal]);
      try {
        await this.#keep(slot, signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    });
  }

  async #keep(slot: KeptSlot, signal: AbortSignal): Promise<void> {
    const { clock, pool, random = Math.random } = this.#options;
    let current: DialledLink | undefined;
    let failures = 0;
    try {
      while (!signal.aborted) {
        slot.isWoken = false;
        const next = await this.#dial(slot, signal);
        if (next === undefined) failures += 1;
        else {
          current?.retire();
          current = next;
          pool.add(next);
          const isCrowding = await this.#untilDue(next, signal);
          failures = isCrowding || clock.now() - next.sinceMs >= LIVED_MS ? 0 : failures + 1;
        }
        if (failures === 0) continue;
        const delayMs = backoffMs(failures - 1, this.#options.backoff ?? REDIAL, random);
        if (await this.#isWokenWithin(slot, delayMs, signal)) failures = 0;
      }
    } finally {
      current?.destroy();
    }
  }

  /** Waits until it is time for the next attempt, or the peer shows that it is there. */
  async #isWokenWithin(slot: KeptSlot, delayMs: number, signal: AbortSignal): Promise<boolean> {
    if (slot.isWoken) return true;
    const woken = new AbortController();
    slot.wake = () => woken.abort();
    await sleep(this.#options.clock, delayMs, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
    slot.wake = () => undefined;
    signal.throwIfAborted();
    return slot.isWoken;
  }

  async #dial(slot: Slot, signal: AbortSignal): Promise<DialledLink | undefined> {
    const { snapshot, svid, hello, clock, log, random = Math.random } = this.#options;
    const { buffers, lookup } = this.#options;
    const { peer, address } = slot;
    const where = `${address.host}:${address.port}`;
    try {
      const source = (): ReturnType<SnapshotSource['current']> => snapshot.current();
      const made = { svid, snapshot: source, hello, buffers, clock, signal, random, log, lookup };
      const link = await dialLink({ peer, address, ...made });
      this.#failures.delete(slot.key);
      log.info('link is up', { peer: peer.name, address: where, instance: link.instance });
      return link;
    } catch (error) {
      signal.throwIfAborted();
      const failed = { peer: peer.name, address: where, code: codeOf(error) ?? 'internal', message: messageOf(error) };
      const known = this.#failures.get(slot.key);
      // Said once per kind of failure, not at every attempt.
      if (known?.code !== failed.code)
        log.warn('link cannot be made', {
          peer: failed.peer,
          address: where,
          code: failed.code,
          reason: failed.message,
        });
      this.#failures.set(slot.key, failed);
      return undefined;
    }
  }

  /** Until the link is over, turns calls away, or is due; or its worker has too many: then true. */
  async #untilDue(link: DialledLink, signal: AbortSignal): Promise<boolean> {
    const due = Promise.withResolvers<boolean>();
    const onDue = (): void => due.resolve(false);
    using held = new DisposableStack();
    this.#crowding.set(link, () => due.resolve(true));
    held.defer(() => this.#crowding.delete(link));
    held.use(this.#probing(link));
    signal.addEventListener('abort', onDue, { once: true });
    held.defer(() => signal.removeEventListener('abort', onDue));
    void link.going.then(onDue);
    void link.due.then(onDue);
    const isCrowding = !signal.aborted && (await due.promise);
    signal.throwIfAborted();
    return isCrowding;
  }

  /** Sees every now and then whether the link still answers, until disposed of. */
  #probing(link: DialledLink): Disposable {
    const { clock } = this.#options;
    let timer: Disposable;
    const arm = (): void => {
      timer = clock.after(PING_EVERY_MS, () => {
        this.#probe(link);
        arm();
      });
    };
    arm();
    return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
  }

  #probe(link: DialledLink): void {
    const timer = this.#options.clock.after(PING_TIMEOUT_MS, () => {
      this.#options.log.warn('link does not answer and is cut', { peer: link.peer, address: link.address });
      link.destroy();
    });
    const done = (): void => timer[Symbol.dispose]();
    link.ping().then(done, done);
  }
}
