/** The embedded CA: root keys in a directory of this machine, from which come our bundle, our SVID and those of workloads. */
import { type Clock } from '../../base/clock.ts';
import { type Logger } from '../../base/log.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { type SpiffeId } from '../identity/spiffe-id.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { type JwtIssuer } from '../jwt/issue.ts';
import { type PhasedRoot } from '../rotation/phase.ts';
import { type SvidSource, type X509Svid } from '../x509/svid.ts';
import { type IdentitySource } from './identity-source.ts';
import { type UpstreamSource } from './upstream-source.ts';

/** How to open. */
export interface EmbeddedCaOptions {
  /** Made with mode 0700 when missing. */
  readonly directory: string;
  readonly trustDomain: TrustDomain;
  /** The identity of the gateway's own SVID. */
  readonly gatewayId: SpiffeId;
  /** Of the gateway's SVID. Default 1 h, at most 24 h. */
  readonly svidTtlMs?: number;
  /** Of a root, or of an intermediate within the life of its upstream. Default one year. */
  readonly rootTtlMs?: number;
  /** Published in the bundle. Default 300 s, as SPIFFE recommends. */
  readonly refreshHintSeconds?: number;
  /** Refuse to make a first root: peers hold the one that is lost. Default false. */
  readonly mustExist?: boolean;
  /** What the bundle of this mesh was numbered by another source. Default 0. */
  readonly sequenceAbove?: bigint;
  /** The CA of somebody else's that issues ours; disposed of with the CA. Without one our roots are self-signed. */
  readonly upstream?: UpstreamSource | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The source of a CA's own SVID. */
export interface IssuedSvidSource extends SvidSource {
  current(): X509Svid;
}

/** An open embedded CA. */
export interface EmbeddedCa extends IdentitySource, JwtIssuer {
  /** The gateway's SVID, renewed at half of its life and when another root is activated; there always is one. */
  readonly svid: IssuedSvidSource;
  /** Our own roots, or those of the upstream; sequence max(previous + 1, unix seconds) at each change, never the same for two contents. */
  bundle(): Bundle;
  /**
   * An SVID for a workload, of at most 24 h. Throws `svid-id-reserved` (the gateway's and everything under /jumpgate),
   * `svid-id-foreign` (another trust domain), `svid-id-without-path`, `svid-ttl`.
   */
  issue(id: SpiffeId, ttlMs: number): X509Svid;
  /**
   * Publishes a new root beside the active one; when one is prepared already, that one is it. Below an upstream whose
   * roots are published for the active one, the new one is active at once. Throws `too-many-roots`, `upstream-ended`,
   * `upstream-tainted`.
   */
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
  jwtKeys(): readonly PhasedRoot[];
}

/** A root without its private key. */
export interface RootStatus extends PhasedRoot {
  /** Fingerprints of what stands in the bundle for it: its own, or those of the roots above it. */
  readonly anchors: readonly string[];
}
