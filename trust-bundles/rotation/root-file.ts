/** The file that holds an embedded CA: its roots and JWT keys with their phases, and the last sequence it published. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { open } from 'node:fs/promises';

import { asList, asRecord } from '../../base/brand.ts';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { writeFileAtomic } from '../../base/store/atomic-file.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { type Root } from '../x509/issue.ts';
import { privateKeyToPem } from '../x509/pem.ts';
import { JWT_KEYS_MAX, type JwtSigningKey, jwtKeyRow, readJwtKeyRow } from './jwt-keys.ts';
import { type PhasedRoot } from './phase.ts';
import { readUpstreamRow, upstreamRow } from './upstream-row.ts';

/** A root with its key and phase. */
export type StoredRoot = Root & PhasedRoot;

/** Everything that must survive a restart. */
export interface RootSet {
  readonly trustDomain: TrustDomain;
  /** Sequence of the bundle as last published. */
  readonly sequence: bigint;
  /** Published with the roots, so a change of it changes the bundle. */
  readonly refreshHintSeconds: number;
  readonly roots: readonly StoredRoot[];
  readonly jwtKeys: readonly JwtSigningKey[];
}

/** A newer layout is refused, an older one migrated: format 1 had no JWT keys, formats 1 and 2 nothing above a root. */
const FORMAT = 3;
const FORMATS_OLDER: readonly unknown[] = [1, 2];
const FORMAT_WITHOUT_JWT_KEYS = 1;
/** Two roots are the rule; rotating by hand many times within a day makes more. */
export const ROOTS_MAX = 32;
const FILE_BYTES_MAX = 1024 * 1024;
const JSON_DEPTH_MAX = 8;
/** Keys are in the file: nobody but its owner may read it. */
const FILE_MODE = 0o600;
const GROUP_AND_OTHERS = 0o077;

/** Writes the set in one atomic step: roots, keys and sequence never disagree after a crash. */
export async function writeRootSet(path: string, set: RootSet): Promise<void> {
  const roots = set.roots.map((root) => ({
    fingerprint: root.fingerprint,
    phase: root.phase,
    phaseSinceMs: root.phaseSinceMs,
    certificate: Buffer.from(root.certificate).toString('base64'),
    key: privateKeyToPem(root.key),
    notBeforeMs: root.notBeforeMs,
    notAfterMs: root.notAfterMs,
    ...upstreamRow(root.upstream),
  }));
  const { trustDomain, refreshHintSeconds } = set;
  const jwtKeys = set.jwtKeys.map(jwtKeyRow);
  const document = { format: FORMAT, trustDomain, sequence: String(set.sequence), refreshHintSeconds, roots, jwtKeys };
  await writeFileAtomic(path, `${JSON.stringify(document, null, 2)}\n`, FILE_MODE);
}

/**
 * Reads the set; `undefined` when there is no file. Throws `key-permissions` when others than the owner may read it,
 * `ca-state-newer`, `ca-trust-domain` when it belongs to another trust domain, and `ca-state-damaged`.
 */
export async function readRootSet(path: string, trustDomain: TrustDomain): Promise<RootSet | undefined> {
  const text = await readPrivate(path);
  if (text === undefined) return undefined;
  const document = parse(path, text);
  const format = document['format'];
  if (typeof format === 'number' && format > FORMAT) {
    throw new JumpgateError(
      'ca-state-newer',
      `expected format ${FORMAT} or older in ${path}, found ${format}: a newer version wrote it`,
      { source: 'config' },
    );
  }
  if (format !== FORMAT && !FORMATS_OLDER.includes(format))
    throw damaged(path, `expected format ${FORMAT}, found ${String(format)}`);
  if (document['trustDomain'] !== trustDomain) {
    throw new JumpgateError(
      'ca-trust-domain',
      `expected the CA of ${trustDomain} in ${path}, found that of ${String(document['trustDomain'])}: give this mesh a directory of its own`,
      { source: 'config' },
    );
  }
  const sequence = document['sequence'];
  const hint = document['refreshHintSeconds'];
  const rows = asList(document['roots']);
  if (typeof sequence !== 'string' || !/^\d{1,20}$/.test(sequence)) throw damaged(path, 'no sequence');
  if (typeof hint !== 'number') throw damaged(path, 'no refresh hint');
  if (rows === undefined || rows.length > ROOTS_MAX)
    throw damaged(path, `expected a list of at most ${ROOTS_MAX} roots`);
  return {
    trustDomain,
    sequence: BigInt(sequence),
    refreshHintSeconds: hint,
    roots: rows.map((row, index) => readRoot(path, row, index)),
    jwtKeys: format === FORMAT_WITHOUT_JWT_KEYS ? [] : readJwtKeys(path, document['jwtKeys']),
  };
}

/** Checks the mode of the very file that is read, not of a path that may change in between. */
async function readPrivate(path: string): Promise<string | undefined> {
  let file;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined;
    throw new JumpgateError('ca-state-unreadable', `cannot read the embedded CA ${path}: ${messageOf(cause)}`, {
      source: 'config',
      cause,
    });
  }
  try {
    const { mode, size } = await file.stat();
    if ((mode & GROUP_AND_OTHERS) !== 0) {
      const found = (mode & 0o777).toString(8).padStart(4, '0');
      throw new JumpgateError(
        'key-permissions',
        `expected mode 0600 on ${path}, which holds private keys, found ${found}: run chmod 600 on it, and rotate if others could read it`,
        { source: 'config' },
      );
    }
    if (size > FILE_BYTES_MAX) throw damaged(path, `expected at most ${FILE_BYTES_MAX} bytes, found ${size}`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

function parse(path: string, text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parseJson(text, { maxBytes: FILE_BYTES_MAX, maxDepth: JSON_DEPTH_MAX });
  } catch (cause) {
    throw damaged(path, messageOf(cause), cause);
  }
  const document = asRecord(value);
  if (document === undefined) throw damaged(path, 'expected a JSON object');
  return document;
}

function readRoot(path: string, row: unknown, index: number): StoredRoot {
  const { phase, phaseSinceMs, certificate, key, fingerprint, upstream } = asRecord(row) ?? {};
  if (phase !== 'prepared' && phase !== 'active' && phase !== 'retired') {
    throw damaged(path, `root ${index} has no known phase`);
  }
  if (typeof phaseSinceMs !== 'number' || typeof certificate !== 'string' || typeof key !== 'string') {
    throw damaged(path, `root ${index} lacks its certificate, key or time`);
  }
  try {
    const parsed = new X509Certificate(Buffer.from(certificate, 'base64'));
    const privateKey = createPrivateKey(key);
    const actual = parsed.fingerprint256.replaceAll(':', '').toLowerCase();
    if (actual !== fingerprint) throw new Error('its fingerprint is not that of its certificate');
    if (!parsed.checkPrivateKey(privateKey)) throw new Error('its key is not that of its certificate');
    return {
      phase,
      phaseSinceMs,
      certificate: new Uint8Array(parsed.raw),
      key: privateKey,
      fingerprint: actual,
      notBeforeMs: parsed.validFromDate.getTime(),
      notAfterMs: parsed.validToDate.getTime(),
      ...(upstream === undefined ? {} : { upstream: readUpstreamRow(upstream) }),
    };
  } catch (cause) {
    throw damaged(path, `root ${index}: ${messageOf(cause)}`, cause);
  }
}

function readJwtKeys(path: string, value: unknown): readonly JwtSigningKey[] {
  const rows = asList(value);
  if (rows === undefined || rows.length > JWT_KEYS_MAX) {
    throw damaged(path, `expected a list of at most ${JWT_KEYS_MAX} JWT keys`);
  }
  return rows.map((row, index) => {
    try {
      return readJwtKeyRow(row);
    } catch (cause) {
      throw damaged(path, `JWT key ${index}: ${messageOf(cause)}`, cause);
    }
  });
}

function damaged(path: string, message: string, cause?: unknown): JumpgateError {
  return new JumpgateError(
    'ca-state-damaged',
    `expected the embedded CA as it was written in ${path}, found: ${message}; restore the file from a backup`,
    { source: 'local', cause },
  );
}
