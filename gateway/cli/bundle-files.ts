/** Bundles and anchors in files, in every container that `jumpgate bundles` reads and writes. */
import { open, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { asList, asRecord } from '../../base/brand.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { writeBundleDocument, x509Authority } from '../../trust-bundles/bundle/document.ts';
import { type AnchorFormat, readAnchors, writeAnchors } from '../../trust-bundles/x509/anchors.ts';
import { readCertificate } from '../../trust-bundles/x509/certificate.ts';
import { usage, type VerbContext } from './verb.ts';

/** `spiffe` is a SPIFFE bundle document, which alone has sequence and JWT keys. */
export type BundleFormat = 'spiffe' | AnchorFormat;

/** What `--as` takes. */
export const BUNDLE_FORMATS: readonly BundleFormat[] = ['spiffe', 'pem', 'der', 'pkcs7', 'pkcs12'];

/** One X.509 authority. */
export interface Anchor {
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string;
  readonly notAfter: string;
  readonly der: Uint8Array;
}

/** A file that was read. */
export interface BundleFile {
  readonly format: BundleFormat;
  /** A SPIFFE bundle document, or as the file has it a bundle map. */
  readonly document: string;
  /** Certificates in it that are no CA's. */
  readonly leftOut: number;
}

/** The most that a gateway takes of a bundle (SPIFFE documents; a map of several may be no larger either). */
const FILE_BYTES_MAX = 900 * 1024;
const PASSWORD_BYTES_MAX = 1024;

/** Reads a bundle of any format, which is seen from its bytes. Throws `bundle-file`, and what reading a container throws. */
export async function readBundleFile(context: VerbContext, path: string | undefined): Promise<BundleFile> {
  if (path === undefined) throw usage('expected the FILE with the bundle');
  const bytes = await contentOf(context, path, FILE_BYTES_MAX);
  const text = bytes.toString('utf8');
  if (/^\s*\{/.test(text)) return { format: 'spiffe', document: text, leftOut: 0 };
  const { format, anchors, leftOut } = readAnchors(bytes, path, await passwordOf(context));
  const x509Authorities = anchors.map(x509Authority);
  const keys = { x509Authorities, jwtAuthorities: [], sequence: undefined, refreshHintSeconds: undefined };
  return { format, document: writeBundleDocument(keys), leftOut };
}

/** The bundle of `document` in `format`: text to be shown, or bytes for a file. */
export async function bundleAs(context: VerbContext, format: BundleFormat, document: string): Promise<Uint8Array> {
  if (format === 'spiffe') return Buffer.from(`${document}\n`);
  const anchors = anchorsOf(document).map(({ der }) => der);
  return writeAnchors(format, anchors, await passwordOf(context));
}

/** The format of `--as`, by default a SPIFFE document; throws `usage`. */
export function bundleFormatOf({ given }: VerbContext): BundleFormat {
  const written = given.text('as') ?? 'spiffe';
  const found = BUNDLE_FORMATS.find((format) => format === written);
  if (found !== undefined) return found;
  throw usage(`expected --as ${BUNDLE_FORMATS.join(', ')}, found ${JSON.stringify(written)}`);
}

/** The X.509 authorities of a SPIFFE bundle document. Throws `bundle-file` for what is none, a bundle map among it. */
export function anchorsOf(document: string): readonly Anchor[] {
  const keys = asList(asRecord(parseJson(document))?.['keys']);
  if (keys === undefined)
    throw unusable(
      'expected a SPIFFE bundle with keys, found none (of a bundle map, import takes the entry of a peer)',
    );
  return keys.flatMap((key) => {
    const { use, x5c } = asRecord(key) ?? {};
    const [base64] = asList(x5c) ?? [];
    if (use !== 'x509-svid' || typeof base64 !== 'string') return [];
    const { der, fingerprint, notAfterMs } = readCertificate(new Uint8Array(Buffer.from(base64, 'base64')));
    return [{ der, fingerprint, notAfter: new Date(notAfterMs).toISOString() }];
  });
}

/** Writes a file that is new, or replaces it. */
export async function writeBundle({ io }: VerbContext, path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(resolve(io.cwd, path), bytes);
  } catch (cause) {
    throw unusable(`cannot write ${path}: ${messageOf(cause)}`, cause);
  }
}

/** A password in an argument would be seen by everybody on the machine. */
async function passwordOf(context: VerbContext): Promise<string> {
  const path = context.given.text('password-file');
  if (path === undefined) return '';
  return (await contentOf(context, path, PASSWORD_BYTES_MAX)).toString('utf8').replace(/\r?\n$/, '');
}

async function contentOf({ io }: VerbContext, path: string, bytesMax: number): Promise<Buffer> {
  try {
    await using file = await open(resolve(io.cwd, path), 'r');
    const { size } = await file.stat();
    if (size > bytesMax) throw new Error(`expected at most ${bytesMax} bytes, found ${size}`);
    return await file.readFile();
  } catch (cause) {
    throw unusable(`cannot read ${path}: ${messageOf(cause)}`, cause);
  }
}

function unusable(message: string, cause?: unknown): JumpgateError {
  return new JumpgateError('bundle-file', message, { source: 'caller', cause });
}
