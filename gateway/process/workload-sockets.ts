/** The Workload API's sockets, as the Mesh document names them: opened, replaced and closed as it changes. */
import { isDeepStrictEqual } from 'node:util';

import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { findGroup, findUser } from '../../base/net/accounts.ts';
import { type GuardedSocket } from '../../base/net/guarded-socket.ts';
import { type WorkloadApiSpec } from '../../federation/resources/values.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { distrustsId } from '../../trust-bundles/distrust/distrust.ts';
import { type MintJwt } from '../../trust-bundles/serve/workload/jwt-profile.ts';
import { workloadRpcs } from '../../trust-bundles/serve/workload/rpcs.ts';
import { SvidRotation } from '../../trust-bundles/serve/workload/svid-rotation.ts';
import { untainted } from '../../trust-bundles/serve/workload/untainted.ts';
import { type WorkloadTrust } from '../../trust-bundles/serve/workload/workload.ts';
import { serveWorkloadApi, type WorkloadApiServer } from '../../trust-bundles/serve/workload-api.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { type ListenerStatus } from '../admin/operations.ts';
import { type WorkloadApiSample } from '../telemetry/sample.ts';

/** What the sockets are served from. */
export interface WorkloadSocketsOptions {
  /** `undefined` where another source than the embedded CA says who we are: then nothing can be issued. */
  readonly ca: EmbeddedCa | undefined;
  readonly snapshots: SnapshotSource;
  readonly clock: Clock;
  readonly log: Logger;
}

interface OpenSocket extends AsyncDisposable {
  readonly spec: WorkloadApiSpec;
  readonly server: WorkloadApiServer;
}

/** Serves the sockets that it was last told of. */
export class WorkloadSockets implements AsyncDisposable {
  readonly #options: WorkloadSocketsOptions;
  /** By path. */
  readonly #open = new Map<string, OpenSocket>();
  readonly #issued = { x509: 0, jwt: 0 };
  #turnedAwayBefore = 0;

  constructor(options: WorkloadSocketsOptions) {
    this.#options = options;
  }

  /** As `status` shows them. */
  get statuses(): readonly ListenerStatus[] {
    return [...this.#open.values()].map(({ spec: { path, identity } }) => {
      return { name: 'workload-api', kind: 'workload-api', address: `unix:${path}`, caller: identity };
    });
  }

  /** As metrics show them. */
  get sample(): WorkloadApiSample {
    const servers = [...this.#open.values()].map(({ server }) => server);
    return {
      x509Issued: this.#issued.x509,
      jwtIssued: this.#issued.jwt,
      streams: servers.reduce((sum, server) => sum + server.streams(), 0),
      turnedAway: servers.reduce((sum, server) => sum + server.turnedAway(), this.#turnedAwayBefore),
    };
  }

  /**
   * Serves exactly `specs` from now on; a socket that stays as it was keeps its callers. When one cannot be opened, those
   * of before are served as before, and what {@link serveWorkloadApi} threw is thrown.
   */
  async apply(specs: readonly WorkloadApiSpec[]): Promise<void> {
    const before = [...this.#open.values()];
    const stays = ({ spec }: OpenSocket): boolean => specs.some((each) => isSame(each, spec));
    try {
      await this.#change(specs, before.filter(stays));
    } catch (error) {
      await this.#restore(before.map(({ spec }) => spec));
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#change([], []);
  }

  async #change(specs: readonly WorkloadApiSpec[], staying: readonly OpenSocket[]): Promise<void> {
    for (const open of [...this.#open.values()]) {
      if (staying.includes(open)) continue;
      this.#open.delete(open.spec.path);
      this.#turnedAwayBefore += open.server.turnedAway();
      await open[Symbol.asyncDispose]();
    }
    for (const spec of specs) if (!this.#open.has(spec.path)) this.#open.set(spec.path, await this.#serve(spec));
  }

  async #restore(specs: readonly WorkloadApiSpec[]): Promise<void> {
    try {
      const stays = ({ spec }: OpenSocket): boolean => specs.some((each) => isSame(each, spec));
      await this.#change(specs, [...this.#open.values()].filter(stays));
    } catch (error) {
      this.#options.log.error('a socket of the workload api could not be opened again', { error });
    }
  }

  async #serve(spec: WorkloadApiSpec): Promise<OpenSocket> {
    const { ca, clock, log } = this.#options;
    if (ca === undefined) {
      const message = `expected identity.embedded for the Workload API on ${spec.path}: only its CA can issue`;
      throw new JumpgateError('workload-api-without-ca', message, { source: 'config' });
    }
    const { hint, identity: id, limits } = spec;
    await using held = new AsyncDisposableStack();
    const svid = held.use(
      new SvidRotation(
        {
          issue: () => {
            const issued = ca.issue(id, spec.ttlMs);
            this.#issued.x509 += 1;
            return issued;
          },
          signer: () => ca.roots().find(({ phase }) => phase === 'active')?.fingerprint ?? '',
          watch: (listener) => ca.watch(listener),
        },
        clock,
      ),
    );
    const workload = { id, hint, svid, trust: this.#trustOf(spec) };
    const rpcs = workloadRpcs(workload, this.#mintFor(spec, ca), clock);
    const server = held.use(await serveWorkloadApi({ socket: await socketOf(spec), rpcs, limits, clock, log }));
    const kept = held.move();
    return { spec, server, [Symbol.asyncDispose]: () => kept.disposeAsync() };
  }

  #mintFor({ identity, jwtTtlMs }: WorkloadApiSpec, ca: EmbeddedCa): MintJwt | undefined {
    if (jwtTtlMs === undefined) return undefined;
    return (audience) => {
      const minted = ca.issueJwt(identity, audience, jwtTtlMs);
      this.#issued.jwt += 1;
      return minted;
    };
  }

  #trustOf({ federatesWith }: WorkloadApiSpec): WorkloadTrust {
    const { snapshots } = this.#options;
    const own = (): Bundle => {
      const { bundles, tainted, trustDomain } = snapshots.current();
      const bundle = bundles.get(trustDomain);
      if (bundle !== undefined) return untainted(bundle, tainted);
      throw new JumpgateError('own-bundle-unknown', 'our own bundle is not known yet', { source: 'local' });
    };
    const federated = (): readonly Bundle[] => {
      const { bundles, distrust, peers, tainted } = snapshots.current();
      const known = [...peers.values()].filter(({ name, trustDomain }) => {
        const named = federatesWith === 'all' || federatesWith.includes(name);
        return named && !distrust.peers.has(name) && !distrust.domains.has(trustDomain);
      });
      const found = known.flatMap(({ trustDomain }) => bundles.get(trustDomain) ?? []);
      return found.map((bundle) => untainted(bundle, tainted));
    };
    return {
      own,
      federated,
      tainted: () => snapshots.current().tainted,
      refusal: (id) => (distrustsId(snapshots.current().distrust, id) ? 'it is quarantined' : undefined),
      watch: (listener) => snapshots.watch(listener),
    };
  }
}

/** Where it is written does not matter. */
function isSame(left: WorkloadApiSpec, right: WorkloadApiSpec): boolean {
  return isDeepStrictEqual({ ...left, origin: undefined }, { ...right, origin: undefined });
}

/** The primary group of the owner may enter the directory, or the owner could not. */
async function socketOf({ group, mode, owner, path }: WorkloadApiSpec): Promise<GuardedSocket> {
  const user = owner === undefined ? undefined : await findUser(owner);
  const gid = group === undefined ? user?.gid : await findGroup(group);
  return { path, mode, uid: user?.uid, gid };
}
