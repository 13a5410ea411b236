/** Our verdict on a chain beside that of `openssl verify`: what we accept it accepts, and what we alone refuse has a rule of ours. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { type Certificate, tryCertificate } from '../../trust-bundles/x509/certificate.ts';
import { certificatesToPem } from '../../trust-bundles/x509/pem.ts';
import { TEST_NOW_MS, type TestAuthority, testBundle } from './certificates.ts';
import { type ChainWorld, chainWorld, dice } from './chain-worlds.ts';
import { findProgram } from './debian.ts';

/** The rules by which we refuse what X.509 alone allows, each with its source. */
const STRICTER: ReadonlyMap<string, string> = new Map([
  ['leaf-names', 'X.509-SVID §2: exactly one URI; RFC 5280 §4.1.2.6: critical names beside an empty subject'],
  ['spiffe-id-malformed', 'SPIFFE-ID §2, X.509-SVID §5.2: an ID with a path'],
  ['leaf-constraints', 'X.509-SVID §4.3, §5.2: no CA, critical key usage with digitalSignature'],
  ['extended-key-usage', 'RFC 5280 §4.2.1.12: the role of the presenter'],
  ['weak-key', 'spiffe.md section 4: P-256, P-384, RSA from 2,048 bits, Ed25519'],
  ['weak-signature', 'spiffe.md section 4: SHA-2, and parameters as RFC 5758 has them'],
  ['certificate-malformed', 'X.690 §10, RFC 5280 §4.1: version 3 in DER, strictly'],
  ['unknown-critical-extension', 'RFC 5280 §4.2: what is not read here'],
  ['unknown-trust-domain', 'SPIFFE Federation §7.3: the bundle of the domain that the ID names'],
  ['ca-constraints', 'X.509-SVID §4.3: key usage in what was issued'],
  ['foreign-authority', 'X.509-SVID §3.2: a CA of its own trust domain'],
  ['name-constraints', 'RFC 5280 §4.2.1.10: forms that are not decided here are refused'],
]);

/** What a run found. */
export interface Comparison {
  chains: number;
  bothAccept: number;
  bothRefuse: number;
  /** Accepted by us alone, because an authority key identifier is a hint to us (RFC 5280 §4.2.1.1) and a condition to OpenSSL. */
  hintsAlone: number;
  /** By the code of our refusal. */
  readonly oursAlone: Map<string, number>;
  /** Where we accept and OpenSSL does not, or we refuse and no rule says so: each is a fault, with the certificates in hex. */
  readonly faults: string[];
}

/** Compares `count` chains or a few more. A process of OpenSSL judges all leaves of a world by one anchor. */
export function compareWithOpenssl(options: {
  readonly count: number;
  readonly seed: number;
  /** Leaves of a world. */
  readonly leaves?: number;
}): Comparison {
  const roll = dice(options.seed);
  const directory = mkdtempSync(join(tmpdir(), 'jg-differential-'));
  const found: Comparison = {
    chains: 0,
    bothAccept: 0,
    bothRefuse: 0,
    hintsAlone: 0,
    oursAlone: new Map(),
    faults: [],
  };
  try {
    while (found.chains < options.count) {
      const world = chainWorld(roll, options.leaves ?? 25);
      compareWorld(found, world, { role: roll() < 0.5 ? 'client' : 'server', directory });
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return found;
}

interface Judges {
  readonly role: 'client' | 'server';
  readonly directory: string;
}

function compareWorld(found: Comparison, world: ChainWorld, judges: Judges): void {
  // OpenSSL tries one issuer of a name, and we try all: it is asked about each anchor alone.
  const accepted = new Set(world.anchors.flatMap((anchor) => opensslAccepts(world, anchor, judges)));
  const bundle = testBundle(world.anchors);
  const trust = { bundles: new Map([[bundle.trustDomain, bundle]]), tainted: new Set<string>() };
  for (const [index, { der, shape }] of world.leaves.entries()) {
    const chain = [der, ...world.above];
    const ours = verifySvid({ chain, trust, role: judges.role, nowMs: TEST_NOW_MS });
    const theirs = accepted.has(index);
    const all = [...chain, ...world.anchors.map(({ certificate }) => certificate)];
    found.chains += 1;
    if (ours.kind === 'verified' && theirs) found.bothAccept += 1;
    else if (ours.kind === 'rejected' && !theirs) found.bothRefuse += 1;
    else if (ours.kind === 'verified' && !hintsHold(all)) found.hintsAlone += 1;
    else if (ours.kind === 'rejected' && STRICTER.has(ours.code)) count(found, ours.code);
    else if (ours.kind === 'rejected' && !issuersAreNamed(all)) count(found, 'names octet for octet');
    else {
      const verdict = ours.kind === 'verified' ? 'accepted by us alone' : `refused by us alone: ${ours.code}`;
      const hex = all.map((each) => Buffer.from(each).toString('hex')).join(' ');
      found.faults.push(`${verdict} as ${judges.role}: ${shape}: ${hex}`);
    }
  }
}

function count({ oursAlone }: Comparison, rule: string): void {
  oursAlone.set(rule, (oursAlone.get(rule) ?? 0) + 1);
}

/** Whether each issuer's name is somebody's subject octet for octet, as we demand; OpenSSL overlooks case and spaces. */
function issuersAreNamed(certificates: readonly Uint8Array[]): boolean {
  const all = certificates.map(tryCertificate).filter((certificate) => certificate !== undefined);
  return all.every(({ issuer }) => all.some(({ subject }) => Buffer.compare(subject, issuer) === 0));
}

/** Whether every authority key identifier fits one of those whose name is the issuer's. */
function hintsHold(certificates: readonly Uint8Array[]): boolean {
  const all = certificates.map(tryCertificate).filter((certificate) => certificate !== undefined);
  return all.every(({ issuer, extensions: { authorityKeyId } }) => {
    const issuers = all.filter(({ subject }) => Buffer.compare(subject, issuer) === 0);
    const fits = ({ extensions: { subjectKeyId } }: Certificate): boolean =>
      subjectKeyId === undefined || subjectKeyId === authorityKeyId;
    return authorityKeyId === undefined || issuers.length === 0 || issuers.some(fits);
  });
}

/** Which leaves OpenSSL accepts by this anchor alone, by their place. */
function opensslAccepts(world: ChainWorld, anchor: TestAuthority, { role, directory }: Judges): readonly number[] {
  const openssl = findProgram('openssl');
  if (openssl === undefined) throw new Error('expected openssl, found none');
  const write = (name: string, certificates: readonly Uint8Array[]): string => {
    const path = join(directory, name);
    writeFileSync(path, certificatesToPem(certificates));
    return path;
  };
  const leaves = world.leaves.map(({ der }, index) => write(`leaf-${index}.pem`, [der]));
  const trusted = ['-trusted', write('anchor.pem', [anchor.certificate]), '-partial_chain', '-auth_level', '2'];
  const above = world.above.length === 0 ? [] : ['-untrusted', write('above.pem', world.above)];
  const when = ['-attime', String(TEST_NOW_MS / 1000), '-purpose', `ssl${role}`];
  const { stdout } = spawnSync(openssl, ['verify', ...trusted, ...above, ...when, ...leaves], { encoding: 'utf8' });
  const lines = new Set(stdout.split('\n'));
  return leaves.flatMap((path, index) => (lines.has(`${path}: OK`) ? [index] : []));
}
