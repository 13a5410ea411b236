/** What stands above a root of the embedded CA, as its file holds it. */
import { asList, asRecord } from '../../base/brand.ts';
import { readCertificate } from '../x509/certificate.ts';
import { type Upstream } from '../x509/issue.ts';

/** As many as a trust bundle may hold. */
const CERTIFICATES_MAX = 256;

/** The members of a root's row. */
export function upstreamRow(upstream: Upstream | undefined): { readonly upstream?: object } {
  if (upstream === undefined) return {};
  const { id, chain, anchors } = upstream;
  return { upstream: { id, chain: chain.map(toBase64), anchors: anchors.map(toBase64) } };
}

/** Throws an Error that says what is wrong. */
export function readUpstreamRow(row: unknown): Upstream {
  const { id, chain, anchors } = asRecord(row) ?? {};
  if (typeof id !== 'string' || !/^[0-9a-f]{64}$/.test(id)) throw new Error('its upstream has no id');
  const upstream = { id, chain: readCertificates(chain), anchors: readCertificates(anchors) };
  if (upstream.anchors.length === 0) throw new Error('its upstream has no root');
  return upstream;
}

function readCertificates(value: unknown): readonly Uint8Array[] {
  const list = asList(value);
  if (list === undefined || list.length > CERTIFICATES_MAX) throw new Error('its upstream lacks certificates');
  return list.map((text) => {
    if (typeof text !== 'string') throw new Error('a certificate of its upstream is no text');
    return readCertificate(new Uint8Array(Buffer.from(text, 'base64'))).der;
  });
}

function toBase64(der: Uint8Array): string {
  return Buffer.from(der).toString('base64');
}
