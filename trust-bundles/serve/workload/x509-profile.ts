/** The X.509-SVID profile (SPIFFE Workload API §5): streams of the workload's SVID, and of the bundles that it may know. */
import { type Bundle } from '../../bundle/bundle.ts';
import { type X509Svid } from '../../x509/svid.ts';
import { FETCH_X509_BUNDLES, FETCH_X509_SVID } from '../../workload-api-proto/methods.ts';
import { feedOf, remembered } from './feed.ts';
import { type Answer, type Feed, refused, type Rpc, stream } from './rpc.ts';
import { bundleKey, refusalOf, type Workload } from './workload.ts';

/** The profile's methods, and what tells whether it can be served. */
export interface X509Profile {
  readonly rpcs: readonly Rpc[];
  readonly svids: Feed;
}

/** Serves the profile to one workload. */
export function x509Profile(workload: Workload): X509Profile {
  const { svid, trust } = workload;
  const encodeSvid = remembered<X509Svid | Bundle, Uint8Array>(() => svidMessage(workload));
  const encodeBundles = remembered<Bundle, Uint8Array>(() => bundlesMessage(workload));
  const bundles = (): readonly Bundle[] => [trust.own(), ...trust.federated()];
  const guarded = (make: () => Uint8Array): Answer => refusalOf(workload) ?? noBundle(workload) ?? message(make());
  const svids = feedOf(() => guarded(() => encodeSvid([svid.current(), ...bundles()])), svid, trust);
  const known = feedOf(() => guarded(() => encodeBundles(bundles())), trust);
  return { rpcs: [stream(FETCH_X509_SVID, () => svids), stream(FETCH_X509_BUNDLES, () => known)], svids };
}

function svidMessage({ id, hint, svid, trust }: Workload): Uint8Array {
  const { chain, key } = svid.current();
  return FETCH_X509_SVID.responseSerialize({
    svids: [
      {
        spiffeId: id,
        x509Svid: new Uint8Array(Buffer.concat(chain)),
        x509SvidKey: new Uint8Array(key.export({ format: 'der', type: 'pkcs8' })),
        bundle: authorities(trust.own()),
        hint: hint ?? '',
      },
    ],
    federatedBundles: byKey(trust.federated()),
  });
}

function bundlesMessage({ trust }: Workload): Uint8Array {
  return FETCH_X509_BUNDLES.responseSerialize({ bundles: byKey([trust.own(), ...trust.federated()]) });
}

/** A domain without an authority is left out, as one that is not to be believed (§4.4): a bundle of no bytes is none. */
function byKey(bundles: readonly Bundle[]): Record<string, Uint8Array> {
  const usable = bundles.filter(({ x509Authorities }) => x509Authorities.length > 0);
  return Object.fromEntries(usable.map((bundle) => [bundleKey(bundle.trustDomain), authorities(bundle)]));
}

function authorities({ x509Authorities }: Bundle): Uint8Array {
  return new Uint8Array(Buffer.concat(x509Authorities.map(({ der }) => der)));
}

/** Our own bundle is mandatory in every message (§5.2.1, §5.2.2), and a mandatory field is never empty (§4.5). */
function noBundle({ trust }: Workload): Answer | undefined {
  if (trust.own().x509Authorities.length > 0) return undefined;
  return refused('unavailable', 'our own bundle holds no X.509 authority now');
}

function message(bytes: Uint8Array): Answer {
  return { kind: 'message', bytes };
}
