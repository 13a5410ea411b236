/** An SVID of the embedded CA as PEM texts, for a workload that cannot speak the Workload API. */
import { JumpgateError } from '../../base/errors.ts';
import { trySpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { certificatesToPem, privateKeyToPem } from '../../trust-bundles/x509/pem.ts';
import { type IssuedSvid, type SvidRequest } from '../admin/operations.ts';

const TTL_SECONDS = 3_600;

/** Issues it. Throws `spiffe-id-malformed` and what {@link EmbeddedCa.issue} throws. */
export function issueWorkloadSvid(ca: EmbeddedCa, request: SvidRequest): IssuedSvid {
  const id = trySpiffeId(request.id);
  if (id === undefined) {
    throw new JumpgateError(
      'spiffe-id-malformed',
      `expected a SPIFFE ID such as spiffe://${ca.bundle().trustDomain}/ns/shop/sa/web, found ${JSON.stringify(request.id.slice(0, 200))}`,
      {
        source: 'caller',
      },
    );
  }
  const svid = ca.issue(id, (request.ttlSeconds ?? TTL_SECONDS) * 1000);
  return {
    id,
    certificates: certificatesToPem(svid.chain),
    key: privateKeyToPem(svid.key),
    bundle: certificatesToPem(ca.bundle().x509Authorities.map(({ der }) => der)),
    expiresAt: new Date(svid.notAfterMs).toISOString(),
  };
}
