/** PEM (RFC 7468): certificates and private keys as the files that people and tools exchange. */
import { createPrivateKey, type KeyObject } from 'node:crypto';

import { JumpgateError } from '../../base/errors.ts';
import { readCertificate } from './certificate.ts';

/** A bundle of roots or a chain is far below; a file beyond it is not what was meant. */
const PEM_CHARS_MAX = 1024 * 1024;
/** As many as a trust bundle may hold. */
const CERTIFICATES_MAX = 256;
const LINE_CHARS = 64;
const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,64})-----([A-Za-z0-9+/=\s]*)-----END \1-----/g;

/** Certificates (DER) as PEM, in their order. */
export function certificatesToPem(certificates: readonly Uint8Array[]): string {
  return certificates.map((der) => encodePem('CERTIFICATE', der)).join('');
}

/**
 * The certificates (DER) of a PEM text, in their order, at least one and at most 256; each one parses. Blocks of other
 * kinds and text around blocks are passed over. Throws `pem-malformed` (source config); `what` names the text.
 */
export function certificatesFromPem(text: string, what: string): readonly Uint8Array[] {
  if (text.length > PEM_CHARS_MAX) {
    throw malformed(`expected at most ${PEM_CHARS_MAX} characters of PEM in ${what}, found ${text.length}`);
  }
  const certificates: Uint8Array[] = [];
  for (const [, label, body = ''] of text.matchAll(BLOCK)) {
    if (label !== 'CERTIFICATE') continue;
    if (certificates.length >= CERTIFICATES_MAX)
      throw malformed(`more than ${CERTIFICATES_MAX} certificates in ${what}`);
    certificates.push(decodeCertificate(body, `certificate ${certificates.length + 1} of ${what}`));
  }
  const begun = text.split('-----BEGIN CERTIFICATE-----').length - 1;
  if (begun !== certificates.length) throw malformed(`a certificate in ${what} is cut short or not base64`);
  if (certificates.length === 0) throw malformed(`expected a PEM certificate in ${what}, found none`);
  return certificates;
}

/** A private key as PKCS#8 PEM. */
export function privateKeyToPem(key: KeyObject): string {
  return key.export({ format: 'pem', type: 'pkcs8' }).toString();
}

/** The private key of a PEM text (PKCS#8, SEC 1 or PKCS#1, not encrypted). Throws `pem-malformed` (source config), never with key material. */
export function privateKeyFromPem(text: string, what: string): KeyObject {
  if (text.length > PEM_CHARS_MAX) throw malformed(`expected at most ${PEM_CHARS_MAX} characters of PEM in ${what}`);
  try {
    return createPrivateKey(text);
  } catch {
    throw malformed(`expected an unencrypted PEM private key in ${what}`);
  }
}

function decodeCertificate(body: string, what: string): Uint8Array {
  const base64 = body.replaceAll(/\s/g, '');
  const der = new Uint8Array(Buffer.from(base64, 'base64'));
  if (Buffer.from(der).toString('base64') !== base64) throw malformed(`${what} is not base64`);
  try {
    readCertificate(der);
  } catch (cause) {
    throw malformed(`${what} is no certificate`, cause);
  }
  return der;
}

function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der).toString('base64');
  const lines = base64.match(new RegExp(`.{1,${LINE_CHARS}}`, 'g')) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function malformed(message: string, cause?: unknown): JumpgateError {
  return new JumpgateError('pem-malformed', message, { source: 'config', cause });
}
