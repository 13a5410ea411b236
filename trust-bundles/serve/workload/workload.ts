/** One workload as its socket knows it: who it is, and what it may know. */
import { type Bundle } from '../../bundle/bundle.ts';
import { type SpiffeId } from '../../identity/spiffe-id.ts';
import { type TrustDomain } from '../../identity/trust-domain.ts';
import { type X509Svid } from '../../x509/svid.ts';
import { type Watched } from './feed.ts';
import { type Refused, refused } from './rpc.ts';

/** What a workload may believe: keys of its own trust domain, and of those that it may know. */
export interface WorkloadTrust extends Watched {
  readonly own: () => Bundle;
  /** Without our own; what is not believed any more is not there. */
  readonly federated: () => readonly Bundle[];
  /** SHA-256 of SubjectPublicKeyInfo, lower-case hex, of keys that vouch for nothing any more. */
  readonly tainted: () => ReadonlySet<string>;
  /** Why an identity gets nothing and proves nothing now, such as a quarantine; `undefined` when it may. */
  readonly refusal: (id: SpiffeId) => string | undefined;
}

/** One identity, and what it is served from. */
export interface Workload {
  readonly id: SpiffeId;
  /** Tells the workload what the identity is for; at most 1,024 octets (SPIFFE Workload API §8). */
  readonly hint: string | undefined;
  readonly svid: { readonly current: () => X509Svid } & Watched;
  readonly trust: WorkloadTrust;
}

/** Why a workload is told nothing at all, if it is. */
export function refusalOf({ id, trust }: Workload): Refused | undefined {
  const reason = trust.refusal(id);
  return reason === undefined ? undefined : refused('permission-denied', `no identity for ${id}: ${reason}`);
}

/** How bundles are keyed: by the SPIFFE ID of their trust domain (SPIFFE Workload API §5.2.2, §6.2.2). */
export function bundleKey(trustDomain: TrustDomain): string {
  return `spiffe://${trustDomain}`;
}
