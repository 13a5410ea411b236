/** The files that documents name: there, readable, private where they are secret, and what they should be. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { open } from 'node:fs/promises';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { type Origin } from '../../base/origin.ts';
import { type ProblemList } from '../../base/config/problem.ts';
import { readBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { hostProblem } from '../../trust-bundles/tls/web-trust.ts';
import { certificatesFromPem, certificatesToPem } from '../../trust-bundles/x509/pem.ts';
import { type BackendSpec, type Export, type Mesh, type Peer, type ResourceSet } from './values.ts';

/** A chain of certificates, a key, a bundle or a token is far smaller. */
const FILE_BYTES_MAX = 1024 * 1024;

interface Reference {
  readonly path: string;
  readonly origin: Origin;
  readonly at: string;
  /** May its group read it? `'group'`: yes, as volumes of Kubernetes with an fsGroup are mounted. */
  readonly secret: boolean | 'group';
}

/** Reads every file that the set names; mistakes go to `problems`. Returns the set with what snapshots carry of them. */
export async function readReferencedFiles(set: ResourceSet, problems: ProblemList): Promise<ResourceSet> {
  const { listeners, store } = set.mesh.spec;
  const secret = (path: string | undefined, at: string): Promise<unknown> =>
    path === undefined ? Promise.resolve() : contents({ path, origin: set.mesh.origin, at, secret: true }, problems);
  await secret(listeners.admin.tokenFile, 'spec.listeners.admin.tokenFile');
  if (store.kind === 'redis') {
    await secret(store.passwordFile, 'spec.store.redis.passwordFile');
    await secret(store.sealKeyFile, 'spec.store.redis.sealKeyFile');
  }
  await checkIdentity(set.mesh, problems);
  await checkBundleListener(set.mesh, problems);
  for (const peer of set.peers) {
    await checkBundle(peer, problems);
    await checkAuthorities(peer, problems);
  }
  for (const { spec, origin } of set.edges) {
    await checkPair(spec.tls, { origin, at: 'spec.tls' }, problems);
  }
  const exports = await Promise.all(set.exports.map((each) => withAnchors(each, problems)));
  return { ...set, exports };
}

/** What is in them is judged where they are used, at every renewal. */
async function checkIdentity({ spec, origin }: Mesh, problems: ProblemList): Promise<void> {
  const { identity } = spec;
  if (identity.kind === 'workloadApi') return;
  const { kind } = identity;
  const named = kind === 'files' ? identity.files : identity.upstream;
  if (named === undefined) return;
  const above = kind === 'files' ? 'spec.identity.files' : 'spec.identity.embedded.upstream';
  for (const [name, path] of Object.entries<string | undefined>({ ...named })) {
    if (path === undefined || name === 'keyReadableBy') continue;
    const readers = named.keyReadableBy === 'group' ? 'group' : true;
    const secret = (name === 'key' || name === 'keyFile') && readers;
    await contents({ path, origin, at: `${above}.${name}`, secret }, problems);
  }
}

async function withAnchors(item: Export, problems: ProblemList): Promise<Export> {
  const backends = item.spec.backends.map(async (backend, index): Promise<BackendSpec> => {
    const { tls } = backend;
    if (tls?.trust.kind !== 'ca') return backend;
    const path = `spec.backends[${index}].tls.ca`;
    const anchors = await readAnchors(tls.trust.file, { origin: item.origin, path }, problems);
    return { ...backend, tls: { ...tls, trust: { ...tls.trust, anchors } } };
  });
  return { ...item, spec: { ...item.spec, backends: await Promise.all(backends) } };
}

async function readAnchors(
  file: string,
  { origin, path }: { readonly origin: Origin; readonly path: string },
  problems: ProblemList,
): Promise<readonly string[]> {
  const read = await contents({ path: file, origin, at: path, secret: false }, problems);
  if (read === undefined) return [];
  try {
    return certificatesFromPem(read.toString('utf8'), file).map((der) => certificatesToPem([der]));
  } catch (error) {
    problems.add({ origin, path, message: messageOf(error) });
    return [];
  }
}

async function checkBundle({ spec, origin: document }: Peer, problems: ProblemList): Promise<void> {
  const { bundleFile, bundleFileOrigin: origin = document, trustDomain } = spec;
  if (bundleFile === undefined) return;
  const at = 'spec.bundle.file';
  const read = await contents({ path: bundleFile, origin, at, secret: false }, problems);
  if (read === undefined) return;
  const expected = `expected a SPIFFE bundle in ${bundleFile}`;
  try {
    const { bundle } = readBundleDocument(read, trustDomain);
    if (bundle.x509Authorities.length > 0) return;
    problems.add({ origin, path: at, message: `${expected}, found one without a usable X.509 authority` });
  } catch (error) {
    if (!(error instanceof JumpgateError)) throw error;
    problems.add({ origin, path: at, message: `${expected}: ${error.message}` });
  }
}

/** The certificate of a web server's name must be one of the host that is advertised (SPIFFE Federation §5.2.1.3). */
async function checkBundleListener({ spec, origin }: Mesh, problems: ProblemList): Promise<void> {
  const { web, advertise } = spec.listeners.bundle;
  if (web === undefined || advertise === undefined) return;
  const certificate = await checkPair(web, { origin, at: 'spec.listeners.bundle' }, problems);
  const host = new URL(advertise).hostname.replace(/^\[(.*)\]$/, '$1');
  const found = certificate && hostProblem(certificate, host);
  if (found !== undefined)
    problems.add({ origin, path: 'spec.listeners.bundle.certificateFile', message: found.message });
}

async function checkAuthorities({ spec, origin }: Peer, problems: ProblemList): Promise<void> {
  const { bundleEndpoint } = spec;
  if (bundleEndpoint.kind !== 'https_web' || bundleEndpoint.caFile === undefined) return;
  await readAnchors(bundleEndpoint.caFile, { origin, path: 'spec.bundleEndpoint.caFile' }, problems);
}

/** A certificate with its key, at `at.certificateFile` and `at.keyFile`; `undefined` when there is no usable certificate. */
async function checkPair(
  { certificateFile, keyFile }: { readonly certificateFile: string; readonly keyFile: string },
  { origin, at }: Pick<Reference, 'origin' | 'at'>,
  problems: ProblemList,
): Promise<X509Certificate | undefined> {
  const places = { certificate: `${at}.certificateFile`, key: `${at}.keyFile` };
  const tell = (path: string, message: string): void => problems.add({ origin, path, message });
  const certificatePem = await contents(
    { path: certificateFile, origin, at: places.certificate, secret: false },
    problems,
  );
  const keyPem = await contents({ path: keyFile, origin, at: places.key, secret: true }, problems);
  const certificate = attempt(certificatePem, (pem) => new X509Certificate(pem));
  const key = attempt(keyPem, (pem) => createPrivateKey(pem));
  if (certificatePem !== undefined && certificate === undefined)
    tell(places.certificate, `expected a PEM certificate in ${certificateFile}`);
  if (keyPem !== undefined && key === undefined)
    tell(places.key, `expected an unencrypted PEM private key in ${keyFile}`);
  if (certificate !== undefined && key !== undefined && !certificate.checkPrivateKey(key))
    tell(places.key, `expected the private key of the certificate, ${keyFile} is the key of another one`);
  return certificate;
}

function attempt<T>(pem: Buffer | undefined, parse: (pem: Buffer) => T): T | undefined {
  try {
    return pem === undefined ? undefined : parse(pem);
  } catch {
    return undefined;
  }
}

async function contents({ path, origin, at, secret }: Reference, problems: ProblemList): Promise<Buffer | undefined> {
  const tell = (message: string): Buffer | undefined => {
    problems.add({ origin, path: at, message });
    return undefined;
  };
  try {
    await using file = await open(path, 'r');
    const stat = await file.stat();
    if (!stat.isFile()) return tell(`expected a file, ${path} is none`);
    if (secret !== false && (stat.mode & (secret === 'group' ? 0o027 : 0o077)) !== 0) {
      const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
      return tell(`expected ${path} to be private to its owner, found mode ${mode}; run chmod 600 ${path}`);
    }
    if (stat.size === 0 || stat.size > FILE_BYTES_MAX)
      return tell(`expected 1 to ${FILE_BYTES_MAX} bytes in ${path}, found ${stat.size}`);
    return await file.readFile();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return tell(`no such file: ${path}`);
    return tell(`cannot read ${path}: ${messageOf(error)}`);
  }
}
