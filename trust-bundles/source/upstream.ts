/** The CA of somebody else's below which our embedded CA stands: read from files, and judged as peers will judge what is below it. */
import { createPublicKey, hash, type KeyObject } from 'node:crypto';

import { JumpgateError } from '../../base/errors.ts';
import { type Bundle, type X509Authority } from '../bundle/bundle.ts';
import { x509Authority } from '../bundle/document.ts';
import { gatewayIdOf } from '../identity/spiffe-id.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { checkKey } from '../verify/key-policy.ts';
import { verifySvid } from '../verify/verify.ts';
import { type Certificate, readCertificate } from '../x509/certificate.ts';
import { createRoot, issueSvid, type UpstreamCa } from '../x509/issue.ts';
import { certificatesFromPem, privateKeyFromPem } from '../x509/pem.ts';
import { type KeyReaders, readAuthorities, readKeyFile, readTrustFile } from './trust-files.ts';

/** Where the upstream CA is. */
export interface UpstreamFiles {
  /** PEM, the upstream CA first; what stands above it may follow. */
  readonly certificateFile: string;
  /** PEM, not encrypted. */
  readonly keyFile: string;
  /** PEM: what stands above, each the issuer of the one before. */
  readonly chainFile: string | undefined;
  /** The roots, a SPIFFE bundle document or PEM; without it the one at the top of the chain. */
  readonly bundleFile: string | undefined;
  readonly keyReadableBy: KeyReaders;
}

/** For what an upstream is judged. */
export interface UpstreamJudgement {
  readonly trustDomain: TrustDomain;
  readonly nowMs: number;
  /** The other trust domain to which one of these roots is bound already (Trust Domain and Bundle §6.2). */
  readonly ownerOf: (bundle: Bundle) => TrustDomain | undefined;
}

/** Of the CA and the SVID that are made to see whether peers would believe them. */
const TRIAL_TTL_MS = 60_000;

/**
 * Reads the upstream CA. Throws (source config) `upstream-key-mismatch`; `upstream-no-root` without a root at the top;
 * `upstream-root-shared`; `upstream-` with the verifier's reason (`ca-constraints`, `name-constraints`, `expired`,
 * `not-yet-valid`, `weak-key`, `weak-signature`, `unknown-critical-extension`, `extended-key-usage`,
 * `foreign-authority`, `not-vouched-for`) where peers would refuse what stands below it; and `key-permissions`,
 * `identity-file`, `pem-malformed`, `bundle-malformed`, `authority-unusable`.
 */
export async function readUpstream(files: UpstreamFiles, judgement: UpstreamJudgement): Promise<UpstreamCa> {
  const { bundleFile, certificateFile, chainFile, keyFile } = files;
  const read = async (path: string, what: string): Promise<readonly Certificate[]> =>
    certificatesFromPem(await readTrustFile(path, `the ${what} of the upstream CA`), path).map(readCertificate);
  const key = privateKeyFromPem(await readKeyFile(keyFile, 'the key of the upstream CA', files.keyReadableBy), keyFile);
  const line = [...(await read(certificateFile, 'certificate'))];
  if (chainFile !== undefined) line.push(...(await read(chainFile, 'chain')));
  const bundle =
    bundleFile === undefined
      ? undefined
      : readAuthorities(
          await readTrustFile(bundleFile, 'the bundle of the upstream CA'),
          bundleFile,
          judgement.trustDomain,
        ).x509Authorities;
  return judgeUpstream({ certificateFile, line, key, bundle }, judgement);
}

interface ReadUpstream {
  readonly certificateFile: string;
  /** From the upstream CA up. */
  readonly line: readonly Certificate[];
  readonly key: KeyObject;
  readonly bundle: readonly X509Authority[] | undefined;
}

function judgeUpstream(
  { bundle, certificateFile, key, line }: ReadUpstream,
  { nowMs, ownerOf, trustDomain }: UpstreamJudgement,
): UpstreamCa {
  const [upstream, top] = [line[0], line.at(-1)];
  if (upstream === undefined || top === undefined) throw refused('no-root', 'expected a certificate, found none');
  if (Buffer.compare(createPublicKey(key).export({ format: 'der', type: 'spki' }), upstream.spki) !== 0) {
    const message = `expected the private key of ${certificateFile}, found that of another certificate`;
    throw refused('key-mismatch', `${message}: the two may be from before and after a renewal`);
  }
  for (const certificate of line) {
    const weak = checkKey(certificate.publicKey);
    if (weak !== undefined) throw refused(weak.code, `in the chain of ${certificateFile}: ${weak.message}`);
    if (certificate.extensions.basicConstraints?.ca === true) continue;
    throw refused(
      'ca-constraints',
      `expected CA certificates in the chain of ${certificateFile}, found one that is none`,
    );
  }
  const anchors = bundle ?? (isSelfIssued(top) ? [x509Authority(top.der)] : undefined);
  if (anchors === undefined) {
    const found = 'found an intermediate at the top: give its root by chainFile or bundleFile';
    throw refused('no-root', `expected a self-signed root at the top of the chain of ${certificateFile}, ${found}`);
  }
  const ownBundle = { trustDomain, x509Authorities: anchors, jwtAuthorities: [], ...UNNUMBERED };
  const owner = ownerOf(ownBundle);
  if (owner !== undefined) {
    const message = `the root of ${certificateFile} is bound to the trust domain ${owner} already`;
    throw refused('root-shared', `${message}: two trust domains below one root could speak for each other`);
  }
  const chain = line.filter((certificate) => certificate !== top || !isSelfIssued(top)).map(({ der }) => der);
  const all = [upstream.fingerprint, ...line.map(({ fingerprint }) => fingerprint), '', ...fingerprintsOf(anchors)];
  const made: UpstreamCa = {
    id: hash('sha256', all.join(' ')),
    certificate: upstream.der,
    key,
    chain,
    anchors: anchors.map(({ der }) => der),
    notAfterMs: Math.min(...line.map(({ notAfterMs }) => notAfterMs)),
  };
  return { ...made, notAfterMs: Math.min(made.notAfterMs, judgeBelow(made, ownBundle, { certificateFile, nowMs })) };
}

/** When the path from below `upstream` ends, if every peer would believe it as either end of TLS. */
function judgeBelow(
  upstream: UpstreamCa,
  bundle: Bundle,
  { certificateFile, nowMs }: { readonly certificateFile: string; readonly nowMs: number },
): number {
  const { trustDomain } = bundle;
  const ttlMs = Math.max(upstream.notAfterMs - nowMs, TRIAL_TTL_MS);
  // The chain is judged, not the moment: what has ended is found by the verifier, so the trial itself has not.
  const root = createRoot({ trustDomain, nowMs, ttlMs, upstream: { ...upstream, notAfterMs: nowMs + ttlMs } });
  const { chain } = issueSvid({ root, id: gatewayIdOf(trustDomain), nowMs, ttlMs });
  const trust = { bundles: new Map([[trustDomain, bundle]]), tainted: new Set<string>() };
  let endMs = upstream.notAfterMs;
  for (const role of ['client', 'server'] as const) {
    const verdict = verifySvid({ chain, trust, role, nowMs });
    if (verdict.kind === 'rejected') {
      const message = `expected in ${certificateFile} a CA below which peers believe our CA for ${trustDomain} as a TLS ${role}`;
      throw refused(verdict.code, `${message}, found: ${verdict.message}`);
    }
    endMs = Math.min(endMs, verdict.expiresAtMs);
  }
  return endMs;
}

const UNNUMBERED = { sequence: undefined, refreshHintSeconds: undefined } as const;

function isSelfIssued({ issuer, subject }: Certificate): boolean {
  return Buffer.compare(issuer, subject) === 0;
}

function fingerprintsOf(authorities: readonly X509Authority[]): readonly string[] {
  return authorities.map(({ fingerprint }) => fingerprint).sort();
}

function refused(code: string, message: string): JumpgateError {
  return new JumpgateError(`upstream-${code}`, message, { source: 'config' });
}
