/** The methods of the SPIFFE Workload API, for both sides (SPIFFE Workload API §5.1, §6.1, §7.1). */
import { SpiffeWorkloadAPI } from './generated/workload-api_pb.js';
import { methodOf } from './method.ts';

/** Every call carries this field with this value, else it is none from a workload that meant it (SPIFFE Workload Endpoint §3). */
export const SECURITY_HEADER = { name: 'workload.spiffe.io', value: 'true' } as const;

const { method } = SpiffeWorkloadAPI;

/** Streams the SVIDs of the caller, with bundles. */
export const FETCH_X509_SVID = methodOf(method.fetchX509SVID);
/** Streams the X.509 bundles that the caller may know. */
export const FETCH_X509_BUNDLES = methodOf(method.fetchX509Bundles);
/** Answers JWT-SVIDs for an audience. */
export const FETCH_JWT_SVID = methodOf(method.fetchJWTSVID);
/** Streams the JWT bundles that the caller may know. */
export const FETCH_JWT_BUNDLES = methodOf(method.fetchJWTBundles);
/** Answers whose JWT-SVID it is. */
export const VALIDATE_JWT_SVID = methodOf(method.validateJWTSVID);
/** Of the optional WIT-SVID profile, which is not served. */
export const FETCH_WIT_SVID = methodOf(method.fetchWITSVID);
/** Of the optional WIT-SVID profile, which is not served. */
export const FETCH_WIT_BUNDLES = methodOf(method.fetchWITBundles);
