/** TLS to the backends of our exports: whom each must prove to be, who we are, and that both still hold. */
import { type Socket } from 'node:net';

import { type Clock } from '../../base/clock.ts';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { formatAddress } from '../../base/net/bind-server.ts';
import { type BackendSpec, type BackendTlsSpec, type BackendTrust } from '../../federation/resources/values.ts';
import { type Snapshot, type SnapshotExport, type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { distrustsId } from '../../trust-bundles/distrust/distrust.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import {
  backendContext,
  type BackendProof,
  type SecuredBackend,
  secureBackend,
} from '../../trust-bundles/tls/backend.ts';
import { checkTaint } from '../../trust-bundles/verify/taint.ts';
import { type Verification, type VerificationFailure } from '../../trust-bundles/verify/verified-identity.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { keyFingerprintOf, readCertificate } from '../../trust-bundles/x509/certificate.ts';
import { heldSvid, type SvidSource, type X509Svid } from '../../trust-bundles/x509/svid.ts';

/** Time for a handshake with a backend: these are near. */
const HANDSHAKE_TIMEOUT_MS = 3_000;

/** What it needs. */
export interface BackendTlsOptions {
  readonly snapshots: SnapshotSource;
  readonly svid: SvidSource;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A connection to be secured. */
export interface UnsecuredBackend {
  readonly raw: Socket;
  readonly exported: Pick<SnapshotExport, 'name' | 'protocol'>;
  readonly backend: BackendSpec;
}

/** A connection that is as its export wants it. */
export interface ReadyBackend {
  readonly socket: Socket;
  /** From when on it takes no new calls, monotonic milliseconds. */
  readonly provenUntilMs: number;
}

type Context = ReturnType<typeof backendContext>;

/** A connection whose proof is looked at again when trust changes. */
interface Proven {
  readonly socket: Socket;
  readonly chain: readonly Uint8Array[];
  readonly trust: BackendTrust;
}

/** See the head of this file. */
export class BackendTls implements Disposable {
  /** Counts the SVIDs that we have had: connections that showed an older one are to be given up when their calls are done. */
  svidGeneration = 0;
  readonly #options: BackendTlsOptions;
  readonly #watches: readonly Disposable[];
  readonly #proven = new Set<Proven>();
  /** What failed last, by export and address; said once, not at every attempt. */
  readonly #failures = new Map<string, string>();
  #contexts = new WeakMap<BackendTlsSpec, Context>();
  #svid: X509Svid | undefined;
  #trust: number;

  constructor(options: BackendTlsOptions) {
    const { snapshots, svid } = options;
    this.#options = options;
    this.#trust = snapshots.current().generations.trust;
    this.#watches = [
      snapshots.watch((snapshot) => this.#snapshotChanged(snapshot)),
      svid.watch(() => (this.svidGeneration += 1)),
    ];
  }

  /** Shakes hands where the backend is to be reached over TLS. Throws what `secureBackend` throws, after it was logged. */
  async secure(unsecured: UnsecuredBackend): Promise<ReadyBackend> {
    const { raw, exported, backend } = unsecured;
    const { tls } = backend;
    if (tls === undefined) return { socket: raw, provenUntilMs: Infinity };
    const { clock, log } = this.#options;
    const key = `${exported.name} ${formatAddress({ kind: 'tcp', ...backend })}`;
    try {
      const secured = await this.#shakeHands(unsecured, tls);
      this.#failures.delete(key);
      this.#keep(secured, tls.trust);
      return { socket: secured.socket, provenUntilMs: clock.monotonic() + secured.expiresAtMs - clock.now() };
    } catch (error) {
      raw.destroy();
      const code = codeOf(error) ?? 'internal';
      if (this.#failures.get(key) !== code) {
        const address = formatAddress({ kind: 'tcp', ...backend });
        log.warn('backend is not the one', { export: exported.name, address, code, reason: messageOf(error) });
      }
      this.#failures.set(key, code);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  async #shakeHands({ raw, exported, backend }: UnsecuredBackend, tls: BackendTlsSpec): Promise<SecuredBackend> {
    const deadline = new AbortController();
    using timers = new DisposableStack();
    timers.use(
      this.#options.clock.after(HANDSHAKE_TIMEOUT_MS, () => {
        const message = `expected the TLS handshake to end within ${HANDSHAKE_TIMEOUT_MS} ms, no answer`;
        deadline.abort(new JumpgateError('timeout', message, { source: 'local', retry: 'later' }));
      }),
    );
    return await secureBackend({
      raw,
      host: tls.sni ?? backend.host,
      alpn: alpnOf(exported.protocol),
      context: this.#contextOf(tls),
      proof: this.#proofOf(tls),
      signal: deadline.signal,
    });
  }

  #contextOf(tls: BackendTlsSpec): Context {
    const svid = heldSvid(this.#options.svid);
    if (svid !== this.#svid) {
      this.#svid = svid;
      this.#contexts = new WeakMap();
    }
    let context = this.#contexts.get(tls);
    if (context === undefined) {
      context = backendContext(svid, tls.trust.kind === 'ca' ? tls.trust.anchors : []);
      this.#contexts.set(tls, context);
    }
    return context;
  }

  #proofOf({ trust }: BackendTlsSpec): BackendProof {
    if (trust.kind === 'ca') return { kind: 'name', refusal: (chain) => this.#taint(chain) };
    return { kind: 'chain', verify: (chain) => this.#verify(chain, trust.id) };
  }

  #verify(chain: readonly Uint8Array[], id: SpiffeId): Verification {
    const { snapshots, clock } = this.#options;
    const trust = snapshots.current();
    const verdict = verifySvid({ chain, trust, role: 'server', nowMs: clock.now() });
    if (verdict.kind === 'rejected') return verdict;
    if (verdict.id !== id)
      return { kind: 'rejected', code: 'other-service', message: `expected ${id}, found ${verdict.id}` };
    if (distrustsId(trust.distrust, id))
      return { kind: 'rejected', code: 'quarantined', message: `${id} is quarantined here` };
    return verdict;
  }

  /** What OpenSSL has judged is as quarantined as anything else once its key is. */
  #taint(chain: readonly Uint8Array[]): VerificationFailure | undefined {
    return checkTaint(
      chain.map((der) => keyFingerprintOf(readCertificate(der))),
      this.#options.snapshots.current().tainted,
    );
  }

  #keep({ socket, chain }: SecuredBackend, trust: BackendTrust): void {
    const proven = { socket, chain, trust };
    this.#proven.add(proven);
    socket.once('close', () => this.#proven.delete(proven));
  }

  #snapshotChanged({ exports, generations }: Snapshot): void {
    for (const key of this.#failures.keys()) {
      if (!exports.has(key.slice(0, key.indexOf(' ')))) this.#failures.delete(key);
    }
    if (generations.trust === this.#trust) return;
    this.#trust = generations.trust;
    for (const { socket, chain, trust } of this.#proven) {
      const verdict = trust.kind === 'ca' ? this.#taint(chain) : this.#verify(chain, trust.id);
      // Time alone cuts nothing that is under way: it only takes no new calls.
      if (verdict?.kind !== 'rejected' || verdict.code === 'expired') continue;
      this.#options.log.warn('connection to a backend closed that no longer verifies', { code: verdict.code });
      socket.destroy();
    }
  }
}

function alpnOf(protocol: SnapshotExport['protocol']): 'h2' | 'http/1.1' | undefined {
  if (protocol === 'http1') return 'http/1.1';
  return protocol === 'http2' || protocol === 'grpc' ? 'h2' : undefined;
}
