/** The outcome of policy for one call: the permit that forwarders demand, or a denial with its reason. */
import { type Brand } from '../../base/brand.ts';
import { type Origin } from '../../base/origin.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';

/**
 * Reason codes that policy itself gives. `no-route`: for this peer the export does not exist (wire.md, Refusals).
 * `path-ambiguous`: the path can be read in more than one way, so no verdict on it would hold at the service.
 * `protocol-mismatch`: a call for a service of connections (tcp, tls), or a connection for a service of calls.
 * `quarantined`: the caller, the peer, the trust domain or the export is distrusted here for the time being.
 */
export type PolicyReason =
  'denied-by-export' | 'denied-by-import' | 'no-route' | 'path-ambiguous' | 'protocol-mismatch' | 'quarantined';

/** What a call is judged by, exactly as it will be forwarded. */
export interface CallFacts {
  readonly kind: 'call';
  /** As sent; methods are case-sensitive (RFC 9110 §9.1). */
  readonly method: string;
  /** The request target in origin form, with its query. */
  readonly path: string;
  /** A POST whose content-type is application/grpc or a `+` variant of it. */
  readonly grpc: boolean;
}

/** A connection to a tcp or tls service: it has no method and no path, so peers and identities alone decide. */
export interface ConnectionFacts {
  readonly kind: 'connection';
}

interface PermitFacts {
  readonly kind: 'permit';
  /** The rule that admits the call or connection, such as `payments.allow[0]`. */
  readonly rule: string;
  readonly origin: Origin;
  readonly caller: SpiffeId;
}

/** Proof that policy admits this caller's call or connection. Made by `policy/decide` only. */
export type Permit = Brand<PermitFacts, 'Permit'>;

/** Why a call is refused. The message is for authenticated parties and the log, never for strangers. */
export interface Denial {
  readonly kind: 'denial';
  readonly reason: PolicyReason;
  readonly message: string;
  /** The rule that came nearest to admitting the call, else the resource. */
  readonly origin?: Origin;
  /** False when the peer may not learn that the export exists: it gets what an unknown name gets. */
  readonly visible: boolean;
}

/** Outcome of policy. */
export type Verdict = Permit | Denial;
