/** The competitors' certificates: ECDSA P-256 under one root, of the shape that Jumpgate's own have. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { systemClock } from '../../../base/clock.ts';
import { certificatesToPem, privateKeyToPem } from '../../../trust-bundles/x509/pem.ts';
import { testRoot, testSvid } from '../../support/certificates.ts';

const DAY_MS = 86_400_000;
/** The DNS name of both gateways. */
export const SERVER_NAME = 'gateway.bench.example';

/** PEM texts. */
export interface BenchIdentity {
  readonly cert: string;
  readonly key: string;
}

/** The root, and a maker of further identities under it. */
export interface BenchAuthority {
  readonly ca: string;
  identity(name: string): BenchIdentity;
}

/** Writes `ca.pem`, and for both gateways `NAME.pem` (chain and key), `NAME.crt`, `NAME.key`, into a directory. */
export function writeCertificates(directory: string): BenchAuthority {
  const now = systemClock.now();
  const validity = { notBeforeMs: now - DAY_MS, notAfterMs: now + DAY_MS };
  const root = testRoot('bench.example', validity);
  const identity = (name: string): BenchIdentity => {
    const svid = testSvid(root, `spiffe://bench.example/${name}`, { ...validity, dns: [SERVER_NAME] });
    return { cert: certificatesToPem(svid.chain), key: privateKeyToPem(svid.key) };
  };
  const ca = certificatesToPem([root.certificate]);
  writeFileSync(join(directory, 'ca.pem'), ca);
  for (const name of ['a', 'b']) {
    const { cert, key } = identity(name);
    writeFileSync(join(directory, `${name}.pem`), cert + key, { mode: 0o600 });
    writeFileSync(join(directory, `${name}.crt`), cert);
    writeFileSync(join(directory, `${name}.key`), key, { mode: 0o600 });
  }
  return { ca, identity };
}
