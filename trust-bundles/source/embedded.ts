/** The embedded CA: root keys in a directory of this machine, from which come our bundle, our SVID and those of workloads. */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { type Clock } from '../../base/clock.ts';
import { codeOf, invariant, JumpgateError, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { type SpiffeId } from '../identity/spiffe-id.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { checkWorkloadId } from '../identity/workload.ts';
import { type IssuedJwt, type JwtIssuer } from '../jwt/issue.ts';
import {
  activatePrepared,
  activeRoot,
  dropSpent,
  nextStep,
  type PhasedRoot,
  type PhaseTimes,
  preparedRoot,
  SVID_TTL_MAX_MS,
} from '../rotation/phase.ts';
import { issueFromJwtKeys, nextJwtStep, rotatedJwtKeys, withPreparedJwtKey } from '../rotation/jwt-keys.ts';
import { bundleOf, publishedOf } from '../rotation/published.ts';
import { readRootSet, ROOTS_MAX, type RootSet, type StoredRoot, writeRootSet } from '../rotation/root-file.ts';
import { isTainted, withoutTainted } from '../rotation/withdraw.ts';
import { createRoot, issueSvid } from '../x509/issue.ts';
import { type SvidSource, type X509Svid } from '../x509/svid.ts';
import {
  type IdentityChange,
  type IdentityProblem,
  type IdentitySource,
  type IdentityStatus,
} from './identity-source.ts';
import { nextSequence } from './own-sequence.ts';

/** How to open. */
export interface EmbeddedCaOptions {
  /** Made with mode 0700 when missing. */
  readonly directory: string;
  readonly trustDomain: TrustDomain;
  /** The identity of the gateway's own SVID. */
  readonly gatewayId: SpiffeId;
  /** Of the gateway's SVID. Default 1 h, at most 24 h. */
  readonly svidTtlMs?: number;
  /** Of a root. Default one year. */
  readonly rootTtlMs?: number;
  /** Published in the bundle. Default 300 s, as SPIFFE recommends. */
  readonly refreshHintSeconds?: number;
  /** Refuse to make a first root: peers hold the one that is lost. Default false. */
  readonly mustExist?: boolean;
  /** What the bundle of this mesh was numbered by another source. Default 0. */
  readonly sequenceAbove?: bigint;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The source of a CA's own SVID. */
interface IssuedSvidSource extends SvidSource {
  current(): X509Svid;
}

/** An open embedded CA. */
export interface EmbeddedCa extends IdentitySource, JwtIssuer {
  /** The gateway's SVID, renewed at half of its life and when another root is activated; there always is one. */
  readonly svid: IssuedSvidSource;
  /** Our own roots; sequence max(previous + 1, unix seconds) at each change, never the same for two contents. */
  bundle(): Bundle;
  /**
   * An SVID for a workload, of at most 24 h. Throws `svid-id-reserved` (the gateway's and everything under /jumpgate),
   * `svid-id-foreign` (another trust domain), `svid-id-without-path`, `svid-ttl`.
   */
  issue(id: SpiffeId, ttlMs: number): X509Svid;
  /** Publishes a new root beside the active one; when one is prepared already, that one is it. Throws `too-many-roots`. */
  prepareRoot(): Promise<RootStatus>;
  /** Issues from the prepared root from now on; its predecessor stays published. Throws `no-prepared-root`. */
  activateRoot(): Promise<RootStatus>;
  /**
   * Takes roots with these keys and JWT keys among them (as in a trust store) out of the bundle at once, with a new one
   * where none is left that signs, and issues the gateway's SVID anew. Returns the fingerprints of what went.
   */
  withdraw(tainted: ReadonlySet<string>): Promise<readonly string[]>;
  /** All published roots. */
  roots(): readonly RootStatus[];
  /** Publishes a JWT key that signs five refresh hints later, or takes the one that is published. Throws `too-many-jwt-keys`. */
  prepareJwtKey(): Promise<void>;
  /** All published JWT keys; the fingerprint, SHA-256 over SubjectPublicKeyInfo, is the key ID. */
  jwtKeys(): readonly RootStatus[];
}

/** A root or JWT key without its private key. */
export type RootStatus = PhasedRoot;

/** In the directory of the CA. */
export const EMBEDDED_CA_FILE = 'embedded-ca.json';
const DIRECTORY_MODE = 0o700;
/** Default of SPIRE and Istio is 1 h for SVIDs. */
const SVID_TTL_MS = 60 * 60 * 1000;
/** Rotated by itself at three quarters; a mesh that sleeps for months still finds its peers. */
const ROOT_TTL_MS = 365 * 24 * 60 * 60 * 1000;
const REFRESH_HINT_SECONDS = 300;
/** Timers are monotonic and stop in a suspended machine: the wall clock is looked at this often. */
const CHECK_INTERVAL_MS_MAX = 60_000;
/** A step that fails (a full disk) is tried again this much later. */
const CHECK_INTERVAL_MS_MIN = 1_000;

/**
 * Opens the CA in `directory`, with a first root when there is none. Throws `key-permissions`, `ca-state-damaged`,
 * `ca-state-newer`, `ca-state-missing`, `ca-trust-domain` and `svid-ttl`.
 */
export async function openEmbeddedCa(options: EmbeddedCaOptions): Promise<EmbeddedCa> {
  checkTtl(options.svidTtlMs ?? SVID_TTL_MS);
  await mkdir(options.directory, { recursive: true, mode: DIRECTORY_MODE });
  const path = join(options.directory, EMBEDDED_CA_FILE);
  const stored = await readRootSet(path, options.trustDomain);
  if (stored === undefined && options.mustExist === true) {
    const message = `expected the embedded CA in ${path}, found none, although this mesh has run before: restore it from a backup, or start with an empty state directory and join its peers anew`;
    throw new JumpgateError('ca-state-missing', message, { source: 'config' });
  }
  if (stored === undefined) await chmod(options.directory, DIRECTORY_MODE);
  const ca = new FileCa(path, options, stored);
  await ca.start();
  return ca;
}

class FileCa implements EmbeddedCa {
  readonly svid: IssuedSvidSource;
  readonly #path: string;
  readonly #options: EmbeddedCaOptions;
  readonly #svidTtlMs: number;
  readonly #listeners = new Set<(change: IdentityChange) => void>();
  #set: RootSet;
  #bundle: Bundle;
  #svid: X509Svid | undefined;
  #renewAtMs = 0;
  #timer: Disposable | undefined;
  #ended = false;
  #problem: IdentityProblem | undefined;
  /** Changes of the set run one after another. */
  #tail: Promise<void> = Promise.resolve();

  constructor(path: string, options: EmbeddedCaOptions, stored: RootSet | undefined) {
    this.#path = path;
    this.#options = options;
    this.#svidTtlMs = options.svidTtlMs ?? SVID_TTL_MS;
    const refreshHintSeconds = options.refreshHintSeconds ?? REFRESH_HINT_SECONDS;
    const above = options.sequenceAbove ?? 0n;
    const { trustDomain } = options;
    const set = stored ?? { trustDomain, sequence: above, refreshHintSeconds, roots: [], jwtKeys: [] };
    this.#set = set.sequence < above ? { ...set, sequence: above } : set;
    this.#bundle = bundleOf(this.#set);
    this.svid = {
      current: () => {
        invariant(this.#svid !== undefined, 'an open CA has an svid');
        return this.#svid;
      },
      watch: (listener) =>
        this.watch((change) => {
          if (change === 'svid') listener(this.svid.current());
        }),
    };
  }

  /** Takes every step that is due, so that an SVID can be issued, and begins to watch the clock. */
  async start(): Promise<void> {
    const hint = this.#options.refreshHintSeconds ?? REFRESH_HINT_SECONDS;
    await this.#exclusively(async () => {
      // Numbered anew at each start: a restored copy of the state stands behind what peers hold, and they would refuse it.
      if (this.#set.roots.length > 0) await this.#publish({ refreshHintSeconds: hint }, true);
      await this.#takeDueSteps();
      this.#renew();
    });
    this.#arm();
  }

  bundle(): Bundle {
    return this.#bundle;
  }

  status(): IdentityStatus {
    return { kind: 'embedded', from: this.#path, problem: this.#problem };
  }

  roots(): readonly RootStatus[] {
    return this.#set.roots.map(statusOf);
  }

  jwtKeys(): readonly RootStatus[] {
    return this.#set.jwtKeys.map(statusOf);
  }

  issue(id: SpiffeId, ttlMs: number): X509Svid {
    checkWorkloadId(id, this.#options);
    checkTtl(ttlMs);
    return issueSvid({ root: this.#signer(), id, nowMs: this.#options.clock.now(), ttlMs });
  }

  issueJwt(id: SpiffeId, audience: readonly string[], ttlMs?: number): IssuedJwt {
    checkWorkloadId(id, this.#options);
    return issueFromJwtKeys(this.#set.jwtKeys, { id, audience, ttlMs, nowMs: this.#options.clock.now() });
  }

  prepareRoot(): Promise<RootStatus> {
    return this.#exclusively(() => this.#prepare());
  }

  activateRoot(): Promise<RootStatus> {
    return this.#exclusively(() => this.#activate());
  }

  prepareJwtKey(): Promise<void> {
    return this.#exclusively(() => this.#publish({ jwtKeys: withPreparedJwtKey(this.#set.jwtKeys, this.#times()) }));
  }

  withdraw(tainted: ReadonlySet<string>): Promise<readonly string[]> {
    return this.#exclusively(() => this.#withdraw(tainted));
  }

  watch(listener: (change: IdentityChange) => void): Disposable {
    // A function of its own, so that the same listener can watch twice.
    const entry = (change: IdentityChange): void => listener(change);
    this.#listeners.add(entry);
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(entry);
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#timer?.[Symbol.dispose]();
    await this.#tail;
  }

  async #prepare(): Promise<RootStatus> {
    const already = preparedRoot(this.#set.roots);
    if (already !== undefined) return statusOf(already);
    const root = this.#create('prepared');
    await this.#publish({ roots: [...this.#set.roots, root] });
    this.#options.log.info('root prepared', { fingerprint: root.fingerprint });
    return statusOf(root);
  }

  async #activate(): Promise<RootStatus> {
    const next = preparedRoot(this.#set.roots);
    if (next === undefined) {
      const message = 'expected a prepared root, found none: prepare one, and activate it when the peers hold it';
      throw new JumpgateError('no-prepared-root', message, { source: 'caller' });
    }
    await this.#publish({ roots: activatePrepared(this.#set.roots, this.#options.clock.now()) });
    this.#options.log.info('root activated', { fingerprint: next.fingerprint });
    this.#renew();
    return statusOf(this.#signer());
  }

  /** Peers that do not hold the new root yet cannot verify us until they do: that is better than to be spoken for by others. */
  async #withdraw(tainted: ReadonlySet<string>): Promise<readonly string[]> {
    const { gone, jwtKeys, roots } = withoutTainted(this.#set, tainted, this.#options.clock.now());
    const rootsGone = roots.length < this.#set.roots.length;
    if (gone.length > 0) {
      const signer = activeRoot(roots) === undefined ? [this.#create('active', roots)] : [];
      await this.#publish({ jwtKeys, roots: [...roots, ...signer] });
      this.#options.log.warn('tainted keys withdrawn', { fingerprints: gone });
    }
    if (rootsGone || this.#svid?.chain.some((der) => isTainted(der, tainted)) === true) this.#renew();
    return gone;
  }

  #create(phase: 'prepared' | 'active', beside = this.#set.roots): StoredRoot {
    if (beside.length >= ROOTS_MAX) {
      const message = `expected fewer than ${ROOTS_MAX} roots, found ${beside.length}: retired roots leave after 24 h, rotate less often`;
      throw new JumpgateError('too-many-roots', message, { source: 'caller', retry: 'later' });
    }
    const nowMs = this.#options.clock.now();
    const ttlMs = this.#options.rootTtlMs ?? ROOT_TTL_MS;
    const root = createRoot({ trustDomain: this.#options.trustDomain, nowMs, ttlMs });
    return { ...root, phase, phaseSinceMs: nowMs };
  }

  #signer(): StoredRoot {
    const root = activeRoot(this.#set.roots);
    invariant(root !== undefined, 'an open CA has an active root');
    return root;
  }

  /** Writes, then shows, then tells: what a restart would forget is never published. JWT keys take their due steps on the way. */
  async #publish(
    change: Partial<Pick<RootSet, 'roots' | 'jwtKeys' | 'refreshHintSeconds'>>,
    always = false,
  ): Promise<void> {
    const nowMs = this.#options.clock.now();
    const wanted = { ...this.#set, ...change };
    const jwtKeys = rotatedJwtKeys(wanted.jwtKeys, { ...wanted, nowMs });
    const changed = always || publishedOf(this.#set) !== publishedOf({ ...wanted, jwtKeys });
    const sequence = changed ? nextSequence(wanted.sequence, nowMs) : wanted.sequence;
    const set: RootSet = { ...wanted, jwtKeys, sequence };
    await writeRootSet(this.#path, set);
    this.#set = set;
    if (!changed) return;
    this.#bundle = bundleOf(set);
    this.#tell('bundle');
  }

  #times(): PhaseTimes {
    return { nowMs: this.#options.clock.now(), refreshHintSeconds: this.#set.refreshHintSeconds };
  }

  #renew(): void {
    const nowMs = this.#options.clock.now();
    const svid = issueSvid({ root: this.#signer(), id: this.#options.gatewayId, nowMs, ttlMs: this.#svidTtlMs });
    this.#svid = svid;
    this.#renewAtMs = nowMs + (svid.notAfterMs - nowMs) / 2;
    this.#tell('svid');
  }

  async #takeDueSteps(): Promise<void> {
    const nowMs = this.#options.clock.now();
    const kept = dropSpent(this.#set.roots, nowMs);
    if (kept.length !== this.#set.roots.length) {
      if (activeRoot(kept) === undefined) this.#options.log.warn('active root expired');
      // Never published without a signer: an empty bundle would revoke all of this trust domain.
      const signer = kept.some((root) => root.phase !== 'retired') ? [] : [this.#create('active')];
      await this.#publish({ roots: [...kept, ...signer] });
    }
    // Of one time: read again a millisecond later, a step that is due now would be one that is due then.
    const times = { ...this.#times(), nowMs };
    const step = nextStep(this.#set.roots, times);
    if (step.atMs > nowMs) {
      if (nextJwtStep(this.#set.jwtKeys, times).atMs <= nowMs) await this.#publish({});
      return;
    }
    if (step.kind === 'create') {
      const root = this.#create('active');
      await this.#publish({ roots: [...this.#set.roots, root] });
      this.#options.log.info('root created', { fingerprint: root.fingerprint });
    }
    if (step.kind === 'prepare') await this.#prepare();
    if (step.kind === 'activate') await this.#activate();
  }

  async #check(): Promise<void> {
    await this.#takeDueSteps();
    if (this.#options.clock.now() >= this.#renewAtMs) this.#renew();
  }

  #arm(): void {
    if (this.#ended) return;
    const nowMs = this.#options.clock.now();
    const { atMs: jwtStepAtMs } = nextJwtStep(this.#set.jwtKeys, this.#times());
    const dueMs = Math.min(this.#renewAtMs, nextStep(this.#set.roots, this.#times()).atMs, jwtStepAtMs) - nowMs;
    const delayMs = Math.max(CHECK_INTERVAL_MS_MIN, Math.min(dueMs, CHECK_INTERVAL_MS_MAX));
    this.#timer = this.#options.clock.after(delayMs, () => {
      void this.#exclusively(() => this.#check())
        .then(() => (this.#problem = undefined))
        .catch((error: unknown) => this.#failed(error))
        .then(() => this.#arm());
    });
  }

  #failed(error: unknown): void {
    const sinceMs = this.#problem?.sinceMs ?? this.#options.clock.now();
    this.#problem = { code: codeOf(error) ?? 'internal', message: messageOf(error), sinceMs };
    this.#options.log.error('embedded ca cannot rotate, trying again', { error });
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work);
    this.#tail = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  #tell(change: IdentityChange): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(change);
      } catch (error) {
        this.#options.log.error('listener of the embedded ca failed', { error });
      }
    }
  }
}

function statusOf({ fingerprint, phase, phaseSinceMs, notBeforeMs, notAfterMs }: PhasedRoot): RootStatus {
  return { fingerprint, phase, phaseSinceMs, notBeforeMs, notAfterMs };
}

function checkTtl(ttlMs: number): void {
  if (ttlMs > 0 && ttlMs <= SVID_TTL_MAX_MS) return;
  const message = `expected an svid lifetime of at most ${SVID_TTL_MAX_MS} ms (24 h), found ${ttlMs} ms`;
  throw new JumpgateError('svid-ttl', message, { source: 'config' });
}
