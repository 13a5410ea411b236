/** The embedded CA over its file: takes the steps that are due, one after another, and tells of each. */
import { codeOf, invariant, JumpgateError, messageOf } from '../../base/errors.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { type SpiffeId } from '../identity/spiffe-id.ts';
import { checkWorkloadId } from '../identity/workload.ts';
import { type IssuedJwt } from '../jwt/issue.ts';
import {
  activatePrepared,
  activeRoot,
  dropSpent,
  type DueStep,
  nextStep,
  type PhasedRoot,
  type PhaseTimes,
  preparedRoot,
  SVID_TTL_MAX_MS,
} from '../rotation/phase.ts';
import { issueFromJwtKeys, nextJwtStep, rotatedJwtKeys, withPreparedJwtKey } from '../rotation/jwt-keys.ts';
import { isLastBelow, upstreamEnding } from '../rotation/below-upstream.ts';
import { anchorsOf, bundleOf, isVouchedFor, publishedOf } from '../rotation/published.ts';
import { ROOTS_MAX, type RootSet, type StoredRoot, writeRootSet } from '../rotation/root-file.ts';
import { isChainTainted, isRootTainted, withoutTainted } from '../rotation/withdraw.ts';
import { createRoot, issueSvid, type UpstreamCa } from '../x509/issue.ts';
import { type X509Svid } from '../x509/svid.ts';
import { type EmbeddedCa, type EmbeddedCaOptions, type IssuedSvidSource, type RootStatus } from './embedded.ts';
import { type IdentityChange, type IdentityProblem, type IdentityStatus } from './identity-source.ts';
import { nextSequence } from './own-sequence.ts';

/** Default of SPIRE and Istio is 1 h for SVIDs. */
const SVID_TTL_MS = 60 * 60 * 1000;
/** Rotated by itself at three quarters; a mesh that sleeps for months still finds its peers. */
const ROOT_TTL_MS = 365 * 24 * 60 * 60 * 1000;
const REFRESH_HINT_SECONDS = 300;
/** Timers are monotonic and stop in a suspended machine: the wall clock is looked at this often. */
const CHECK_INTERVAL_MS_MAX = 60_000;
/** A step that fails (a full disk) is tried again this much later. */
const CHECK_INTERVAL_MS_MIN = 1_000;

/** See the head of this file. Call `start` first. */
export class FileCa implements EmbeddedCa {
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
  #watch: Disposable | undefined;
  #tainted: ReadonlySet<string> = new Set();

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
    this.#watch = this.#options.upstream?.watch(() => void this.#run(() => this.#followUpstream()));
    this.#arm();
  }

  bundle(): Bundle {
    return this.#bundle;
  }

  status(): IdentityStatus {
    const { clock, upstream } = this.#options;
    const ca = upstream?.current();
    const ending = upstreamEnding(this.#signer(), ca, clock.now());
    return {
      kind: 'embedded',
      from: this.#path,
      problem: this.#problem ?? upstream?.problem() ?? ending,
      ...(upstream === undefined || ca === undefined
        ? {}
        : { upstream: { from: upstream.from, notAfterMs: ca.notAfterMs } }),
    };
  }

  roots(): readonly RootStatus[] {
    return this.#set.roots.map(statusOf);
  }

  jwtKeys(): readonly PhasedRoot[] {
    return this.#set.jwtKeys.map(phaseOf);
  }

  issue(id: SpiffeId, ttlMs: number): X509Svid {
    checkWorkloadId(id, this.#options);
    checkSvidTtl(ttlMs);
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
    this.#watch?.[Symbol.dispose]();
    await this.#options.upstream?.[Symbol.asyncDispose]();
    await this.#tail;
  }

  async #prepare(): Promise<RootStatus> {
    const already = preparedRoot(this.#set.roots);
    if (already !== undefined && already.upstream?.id === this.#upstream?.id) return statusOf(already);
    // One below another upstream has signed nothing yet and is not missed.
    const roots = this.#set.roots.filter(({ phase }) => phase !== 'prepared');
    const root = this.#create('prepared', roots);
    const isKnown = isVouchedFor(root, activeRoot(roots));
    const beside = [...roots, root];
    await this.#publish({ roots: isKnown ? activatePrepared(beside, this.#options.clock.now()) : beside });
    this.#options.log.info(isKnown ? 'intermediate renewed' : 'root prepared', { fingerprint: root.fingerprint });
    if (isKnown) this.#renew();
    return statusOf(isKnown ? this.#signer() : root);
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
    this.#tainted = tainted;
    const { gone, jwtKeys, roots } = withoutTainted(this.#set, tainted, this.#options.clock.now());
    const rootsGone = roots.length < this.#set.roots.length;
    if (gone.length > 0) {
      const signer = activeRoot(roots) === undefined ? [this.#create('active', roots)] : [];
      await this.#publish({ jwtKeys, roots: [...roots, ...signer] });
      this.#options.log.warn('tainted keys withdrawn', { fingerprints: gone });
    }
    if (rootsGone || (this.#svid !== undefined && isChainTainted(this.#svid.chain, tainted))) this.#renew();
    return gone;
  }

  #create(phase: 'prepared' | 'active', beside = this.#set.roots): StoredRoot {
    if (beside.length >= ROOTS_MAX) {
      const message = `expected fewer than ${ROOTS_MAX} roots, found ${beside.length}: retired roots leave after 24 h, rotate less often`;
      throw new JumpgateError('too-many-roots', message, { source: 'caller', retry: 'later' });
    }
    const nowMs = this.#options.clock.now();
    const upstream = this.#upstream;
    if (upstream !== undefined && upstream.notAfterMs <= nowMs) {
      throw refused('upstream-ended', 'expected an upstream CA that is still valid, found one that has ended');
    }
    const ttlMs = this.#options.rootTtlMs ?? ROOT_TTL_MS;
    const root = createRoot({ trustDomain: this.#options.trustDomain, nowMs, ttlMs, upstream });
    if (upstream !== undefined && isRootTainted(root, this.#tainted)) {
      throw refused(
        'upstream-tainted',
        'expected an upstream CA that is believed here, found one with a quarantined key',
      );
    }
    return { ...root, phase, phaseSinceMs: nowMs };
  }

  get #upstream(): UpstreamCa | undefined {
    return this.#options.upstream?.current();
  }

  async #followUpstream(): Promise<void> {
    if (this.#tainted.size > 0) await this.#withdraw(this.#tainted);
    await this.#takeDueSteps();
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
    const newest = preparedRoot(this.#set.roots) ?? activeRoot(this.#set.roots);
    if (newest !== undefined && newest.upstream?.id !== this.#upstream?.id) await this.#prepare();
    // Of one time: read again a millisecond later, a step that is due now would be one that is due then.
    const times = { ...this.#times(), nowMs };
    const step = this.#nextStep(times);
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
    const dueMs = Math.min(this.#renewAtMs, this.#nextStep(this.#times()).atMs, jwtStepAtMs) - nowMs;
    const delayMs = Math.max(CHECK_INTERVAL_MS_MIN, Math.min(dueMs, CHECK_INTERVAL_MS_MAX));
    this.#timer = this.#options.clock.after(delayMs, () => {
      void this.#run(() => this.#check()).then(() => this.#arm());
    });
  }

  /** Does what nobody waits for: a failure is told, and the next check tries again. */
  #run(work: () => Promise<void>): Promise<void> {
    return this.#exclusively(work)
      .then(() => (this.#problem = undefined))
      .catch((error: unknown) => this.#failed(error));
  }

  /** As the phases say; an upstream that ends no later than the intermediate below it has nothing to renew it with. */
  #nextStep(times: PhaseTimes): DueStep {
    const step = nextStep(this.#set.roots, times);
    const active = activeRoot(this.#set.roots);
    const isLast = active !== undefined && isLastBelow(active, this.#upstream);
    return step.kind === 'prepare' && isLast ? { kind: 'drop', atMs: active.notAfterMs } : step;
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

function phaseOf({ fingerprint, phase, phaseSinceMs, notBeforeMs, notAfterMs }: PhasedRoot): PhasedRoot {
  return { fingerprint, phase, phaseSinceMs, notBeforeMs, notAfterMs };
}

function statusOf(root: StoredRoot): RootStatus {
  return { ...phaseOf(root), anchors: anchorsOf(root).map(({ fingerprint }) => fingerprint) };
}

function refused(code: string, message: string): JumpgateError {
  return new JumpgateError(code, `${message}: give another by its files`, { source: 'config', retry: 'later' });
}

/** Throws `svid-ttl` for more than 24 h. */
export function checkSvidTtl(ttlMs: number): void {
  if (ttlMs > 0 && ttlMs <= SVID_TTL_MAX_MS) return;
  const message = `expected an svid lifetime of at most ${SVID_TTL_MAX_MS} ms (24 h), found ${ttlMs} ms`;
  throw new JumpgateError('svid-ttl', message, { source: 'config' });
}
