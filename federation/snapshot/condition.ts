/** What stands in the way of a resource although its document is valid: shown in status, never an error. */
import { type Origin } from '../../base/origin.ts';

/** Kinds of conditions: a closed set, since they label metrics. */
export type ConditionType =
  | 'AwaitingBundle'
  | 'AwaitingCatalogue'
  | 'BundleAging'
  | 'BundleEmpty'
  | 'BundleStale'
  | 'CatalogueStale'
  | 'EntryRefused'
  | 'HostClash'
  | 'HostRefused'
  | 'NotExported'
  | 'PeerRefused'
  | 'ProtocolMismatch'
  | 'UnknownPeer'
  | 'UnknownTarget'
  | 'UnknownTrustDomain';

/** One condition of one resource. */
export interface Condition {
  /** Kind and name, such as `Import/eu-orders`. */
  readonly resource: string;
  readonly type: ConditionType;
  readonly message: string;
  /** Absent for what came from the store or from a peer. */
  readonly origin?: Origin;
}
