/** Finds a path from a leaf through the peer's certificates to an anchor of one bundle (RFC 5280 §6.1), in bounded work. */
import { type TrustDomain } from '../identity/trust-domain.ts';
import { type Certificate, foreignIdOf, keyFingerprintOf } from '../x509/certificate.ts';
import { type Anchors, Authority } from './authority.ts';
import { checkKeyPolicy, isSignedBy } from './key-policy.ts';
import { checkNameConstraints } from './name-constraints.ts';
import { ANY_PURPOSE, type PresenterRole, purposeOf } from './purpose.ts';
import { rejected } from './rejection.ts';
import { checkTaint } from './taint.ts';
import { validityAt } from './validity.ts';
import { type VerificationFailure } from './verified-identity.ts';

/** A path that holds. */
export interface TrustPath {
  readonly kind: 'path';
  /** From the leaf to the last certificate below the anchor. */
  readonly certificates: readonly Certificate[];
  readonly anchor: Certificate;
}

/** What a path must satisfy. */
export interface PathConditions {
  /** Leaf first, each issued by the next; what follows the one that an anchor issued is not looked at. */
  readonly chain: readonly Certificate[];
  /** Whose they are, and the anchors of its bundle. */
  readonly trustDomain: TrustDomain;
  readonly anchors: Anchors;
  /** As in a trust store. */
  readonly tainted: ReadonlySet<string>;
  readonly role: PresenterRole;
  readonly nowMs: number;
}

/** Signature checks for one chain: enough for every anchor of a full bundle (256) at one place, and 8 links. */
const SIGNATURE_CHECKS_MAX = 264;

/**
 * Tries each anchor that could have issued each certificate of the chain, and not only the first of a name. Of several
 * refusals the first that is about a path with good signatures is told. Anchors need not be self-signed (RFC 5280 §6.1.1 d).
 */
export function findPath(conditions: PathConditions): TrustPath | VerificationFailure {
  const below: Certificate[] = [];
  let refusal: VerificationFailure | undefined;
  let checksLeft = SIGNATURE_CHECKS_MAX;
  for (const [index, certificate] of conditions.chain.entries()) {
    below.push(certificate);
    for (const anchor of conditions.anchors.candidatesFor(certificate)) {
      if (checksLeft <= 0) return rejected('chain-limits', `more than ${SIGNATURE_CHECKS_MAX} signatures to check`);
      checksLeft -= 1;
      if (!isSignedBy(certificate, anchor)) continue;
      const path: TrustPath = { kind: 'path', certificates: [...below], anchor: anchor.certificate };
      const problem = checkPath(path, conditions);
      if (problem === undefined) return path;
      refusal ??= problem;
    }
    const next = conditions.chain[index + 1];
    if (next === undefined || !isNamedIssuer(certificate, next)) break;
    checksLeft -= 1;
    if (!isSignedBy(certificate, new Authority(next))) break;
  }
  if (refusal !== undefined) return refusal;
  const message = `no authority in the bundle of ${conditions.trustDomain} vouches for the chain: another mesh's certificate, or a bundle older than its root`;
  return rejected('not-vouched-for', message);
}

function isNamedIssuer(certificate: Certificate, issuer: Certificate): boolean {
  return Buffer.compare(certificate.issuer, issuer.subject) === 0;
}

function checkPath(path: TrustPath, conditions: PathConditions): VerificationFailure | undefined {
  const all = [...path.certificates, path.anchor];
  const tainted = checkTaint([keyFingerprintOf(path.anchor)], conditions.tainted);
  if (tainted !== undefined) return tainted;
  for (const [index, certificate] of all.entries()) {
    const problem =
      checkDates(certificate, conditions.nowMs, nameOf(path, index)) ??
      checkCritical(certificate) ??
      // An anchor's own signature proves nothing and is not looked at; its key is, where it signs.
      (certificate === path.anchor ? undefined : checkKeyPolicy(certificate)) ??
      (index === 0 ? undefined : checkAuthority(all, index, conditions));
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function checkDates(certificate: Certificate, nowMs: number, which: string): VerificationFailure | undefined {
  const { notBeforeMs, notAfterMs } = certificate;
  switch (validityAt(nowMs, certificate)) {
    case 'not-yet-valid': {
      const times = `valid from ${formatTime(notBeforeMs)}, now is ${formatTime(nowMs)}`;
      return rejected('not-yet-valid', `${which} is not valid yet: ${times}; compare the clocks`);
    }
    case 'expired': {
      const times = `valid until ${formatTime(notAfterMs)}, now is ${formatTime(nowMs)}`;
      return rejected('expired', `${which} has expired: ${times}`);
    }
    case 'valid':
      return undefined;
  }
}

/** What the certificate at `index` is on its path, for operators. */
function nameOf({ certificates }: TrustPath, index: number): string {
  if (index === 0) return 'the leaf';
  return index < certificates.length ? 'an intermediate certificate' : 'the authority that vouches';
}

function checkCritical(certificate: Certificate): VerificationFailure | undefined {
  const [oid] = certificate.extensions.unknownCritical;
  if (oid === undefined) return undefined;
  return rejected('unknown-critical-extension', `a certificate of the chain has the unknown critical extension ${oid}`);
}

/** What makes the certificate at `index` an issuer of all those before it. */
function checkAuthority(
  all: readonly Certificate[],
  index: number,
  { trustDomain, role }: PathConditions,
): VerificationFailure | undefined {
  const issuer = all[index];
  if (issuer === undefined) return undefined;
  const { basicConstraints, keyUsage, extendedKeyUsage } = issuer.extensions;
  const isAnchor = index === all.length - 1;
  if (basicConstraints?.ca !== true) return rejected('ca-constraints', 'an issuer of the chain is no CA certificate');
  // Roots made without key usage exist (openssl req -x509); X.509-SVID §4.3 demands it of what was issued.
  if (keyUsage === undefined ? !isAnchor : !keyUsage.keyCertSign) {
    return rejected('ca-constraints', 'an issuer of the chain may not sign certificates');
  }
  const between = all.slice(1, index).filter((certificate) => !isNamedIssuer(certificate, certificate)).length;
  if (basicConstraints.pathLength !== undefined && between > basicConstraints.pathLength) {
    const found = `${between} below one that allows ${basicConstraints.pathLength}`;
    return rejected('ca-constraints', `too many intermediate certificates: ${found}`);
  }
  const purposes = extendedKeyUsage ?? [ANY_PURPOSE];
  if (!purposes.includes(ANY_PURPOSE) && !purposes.includes(purposeOf(role))) {
    return rejected('extended-key-usage', `an issuer of the chain may not issue for TLS ${role}s`);
  }
  const foreign = foreignIdOf(issuer, trustDomain);
  if (foreign !== undefined) return rejected('foreign-authority', `an issuer of the chain has the identity ${foreign}`);
  for (const certificate of all.slice(0, index)) {
    const problem = checkNameConstraints(certificate, issuer);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function formatTime(ms: number): string {
  return new Date(ms).toISOString();
}
