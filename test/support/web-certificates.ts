/** Certificates of web servers for tests: valid now, by a CA that only the test knows. */
import { X509Certificate } from 'node:crypto';

import { systemClock } from '../../base/clock.ts';
import { type TlsCredentials } from '../../trust-bundles/tls/context.ts';
import { type CertificateOverrides, oids, testRoot, testSvid, type TestAuthority } from './certificates.ts';
import { der, derSequenceOf } from './der-writer.ts';
import { pem } from './trust.ts';

const HOUR_MS = 3_600_000;

/** A CA. */
export interface WebAuthority {
  readonly root: TestAuthority;
  readonly pem: string;
}

/** Makes a CA of the web. */
export function webAuthority(): WebAuthority {
  const root = testRoot('web.test', { ...validNow(), uris: [] });
  return { root, pem: new X509Certificate(root.certificate).toString() };
}

/** A certificate for these DNS names. */
export function webCertificate(
  { root }: WebAuthority,
  dns: readonly string[],
  overrides: CertificateOverrides = {},
): TlsCredentials {
  const shape = { ...validNow(), uris: [], dns, extendedKeyUsage: [oids.serverAuth], ...overrides };
  return pem(testSvid(root, 'spiffe://web.test/server', shape));
}

/** A SAN extension with one IPv4 address. */
export function addressName(ip: string): CertificateOverrides {
  const octets = Buffer.from(ip.split('.').map(Number));
  return { extraExtensions: [{ oid: '2.5.29.17', value: derSequenceOf(der(0x87, octets)) }] };
}

function validNow(): CertificateOverrides {
  const nowMs = systemClock.now();
  return { notBeforeMs: nowMs - HOUR_MS, notAfterMs: nowMs + HOUR_MS };
}
