/** An SVID of the embedded CA as PEM texts, for a workload that cannot speak the Workload API. */
import { JumpgateError } from '../../base/errors.ts';
import { type SpiffeId, trySpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { certificatesToPem, privateKeyToPem } from '../../trust-bundles/x509/pem.ts';
import { type IssuedSvid, type SvidRequest } from '../admin/operations.ts';

const TTL_SECONDS = 3_600;

/** The ID that a caller wrote. Throws `spiffe-id-malformed` (source caller). */
export function workloadId(text: string, trustDomain: TrustDomain): SpiffeId {
  const id = trySpiffeId(text);
  if (id !== undefined) return id;
  const message = `expected a SPIFFE ID such as spiffe://${trustDomain}/ns/shop/sa/web, found ${JSON.stringify(text.slice(0, 200))}`;
  throw new JumpgateError('spiffe-id-malformed', message, { source: 'caller' });
}

/** Issues it. Throws `spiffe-id-malformed` and what {@link EmbeddedCa.issue} throws. */
export function issueWorkloadSvid(ca: EmbeddedCa, request: SvidRequest): IssuedSvid {
  const id = workloadId(request.id, ca.bundle().trustDomain);
  const svid = ca.issue(id, (request.ttlSeconds ?? TTL_SECONDS) * 1000);
  return {
    id,
    certificates: certificatesToPem(svid.chain),
    key: privateKeyToPem(svid.key),
    bundle: certificatesToPem(ca.bundle().x509Authorities.map(({ der }) => der)),
    expiresAt: new Date(svid.notAfterMs).toISOString(),
  };
}
