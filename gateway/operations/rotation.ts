/** Rotation of the embedded root: a new root is published beside the old one, and signs once the peers hold it. */
import { type Clock } from '../../base/clock.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type PeeringStatus } from '../../federation/peering/status.ts';
import { type PeerSpec } from '../../federation/resources/values.ts';
import { type SnapshotPeer, type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { fetchedByAllAtMs } from '../../trust-bundles/rotation/phase.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { type LinkStatus, type RotationRehearsal, type RotationStatus } from '../admin/operations.ts';
import { rehearseRotation } from './rehearsal.ts';

/** What a rotation asks of the gateway. */
export interface RotationOptions {
  readonly ca: EmbeddedCa;
  readonly snapshots: SnapshotSource;
  readonly peering: (peer: string) => PeeringStatus | undefined;
  /** Where a peer's own bundle comes from. */
  readonly endpointOf: (trustDomain: TrustDomain) => PeerSpec['bundleEndpoint'];
  readonly clock: Clock;
  readonly log: Logger;
}

/** Begins, advances and shows rotations; one at a time. */
export class Rotation {
  readonly #options: RotationOptions;
  #advancing = false;

  constructor(options: RotationOptions) {
    this.#options = options;
  }

  /** Publishes a new root, or takes the one that is published; activates it when every peer holds it, or by `force`. Below the same upstream it signs at once. */
  async rotate(force: boolean): Promise<RotationStatus> {
    await this.#options.ca.prepareRoot();
    return this.#advance(force);
  }

  /** What would break if the next root signed now, over these links. */
  rehearse(links: readonly LinkStatus[]): RotationRehearsal {
    const { ca, peering, snapshots } = this.#options;
    const next = this.#prepared() ?? null;
    const sequence = ca.bundle().sequence ?? 0n;
    const peers = [...snapshots.current().peers.values()].map((peer) => ({
      name: peer.name,
      isAwaited: this.#isAwaited(peer),
      isAlone: peer.gateways.length === 0,
    }));
    const findings = rehearseRotation({ peers, peering, links, sequence, isPublished: next !== null });
    const activeFingerprint = this.#active();
    return { activeFingerprint, nextFingerprint: next, sequence: String(sequence), findings };
  }

  /** A peer has told which of our bundles it holds: activates a root that was waiting for that. */
  async peersChanged(): Promise<void> {
    if (this.#advancing || this.#prepared() === undefined || this.#behind().length > 0) return;
    this.#advancing = true;
    try {
      await this.#advance(false);
    } catch (error) {
      this.#options.log.error('the new root could not be activated', { error: messageOf(error) });
    } finally {
      this.#advancing = false;
    }
  }

  async #advance(force: boolean): Promise<RotationStatus> {
    const waitingFor = this.#behind();
    const next = this.#prepared();
    if (next !== undefined && waitingFor.length > 0 && !force) {
      const message = 'the new root is published and signs as soon as these peers hold it; --force activates it now';
      return this.#status({ phase: 'published', nextFingerprint: next, waitingFor, message });
    }
    if (next !== undefined) {
      await this.#options.ca.activateRoot();
      this.#options.log.info('root activated', { fingerprint: next, forced: waitingFor.length > 0 });
    }
    const message = 'the new root signs; the old one stays published until nothing that it signed is valid';
    return this.#status({ phase: 'activated', nextFingerprint: null, waitingFor, message });
  }

  #status(facts: Pick<RotationStatus, 'phase' | 'nextFingerprint' | 'waitingFor' | 'message'>): RotationStatus {
    const sequence = String(this.#options.ca.bundle().sequence ?? 0n);
    return { ...facts, activeFingerprint: this.#active(), sequence };
  }

  #active(): string {
    const active = this.#options.ca.roots().find(({ phase }) => phase === 'active');
    if (active !== undefined) return active.fingerprint;
    throw new JumpgateError('no-active-root', 'the embedded CA has no root that signs', { source: 'local' });
  }

  #prepared(): string | undefined {
    return this.#options.ca.roots().find(({ phase }) => phase === 'prepared')?.fingerprint;
  }

  /** Peers that have not said that they hold our newest bundle, or cannot say it and had too little time to fetch it. */
  #behind(): readonly string[] {
    const newest = this.#options.ca.bundle().sequence ?? 0n;
    const behind = [...this.#options.snapshots.current().peers.values()].filter((peer) => {
      if (this.#isAwaited(peer)) return true;
      const held = this.#options.peering(peer.name)?.theyHoldOurBundleSequence;
      return held === undefined ? peer.gateways.length > 0 : held < newest;
    });
    return behind.map(({ name }) => name);
  }

  /** Whether somebody of the peer's mesh who says nothing may not have polled the root that is published yet. */
  #isAwaited(peer: SnapshotPeer): boolean {
    const published = this.#options.ca.roots().find(({ phase }) => phase === 'prepared');
    if (published === undefined || !pollsByItself(peer, this.#options.endpointOf(peer.trustDomain))) return false;
    const { refreshHintSeconds = 0 } = this.#options.ca.bundle();
    return this.#options.clock.now() < fetchedByAllAtMs(published.phaseSinceMs, refreshHintSeconds);
  }
}

/**
 * Whether the peer's trust domain has an issuer beside its gateways, such as a SPIRE server: it polls our bundle by
 * itself, and over https_spiffe it cannot do so any more once our SVID is under a root that it has missed.
 */
function pollsByItself({ gatewayId, gateways }: SnapshotPeer, endpoint: PeerSpec['bundleEndpoint']): boolean {
  return gateways.length === 0 || (endpoint.kind === 'https_spiffe' && endpoint.spiffeId !== gatewayId);
}
