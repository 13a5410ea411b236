/** Name constraints of CA certificates (RFC 5280 §4.2.1.10): URIs are decided, every other form that applies is refused. */
import { trustDomainOf, trySpiffeId } from '../identity/spiffe-id.ts';
import { type Certificate, hasEmptySubject, namesOf } from '../x509/certificate.ts';
import { type NameForm } from '../x509/extensions.ts';
import { rejected } from './rejection.ts';
import { type VerificationFailure } from './verified-identity.ts';

/** Refuses `certificate`, which stands below `issuer` on a path, when `issuer` constrains its names away. */
export function checkNameConstraints(certificate: Certificate, issuer: Certificate): VerificationFailure | undefined {
  const constraints = issuer.extensions.nameConstraints;
  if (constraints === undefined) return undefined;
  for (const form of formsOf(certificate)) {
    const permitted = constraints.permitted.filter((name) => name.form === form);
    const excluded = constraints.excluded.filter((name) => name.form === form);
    if (permitted.length === 0 && excluded.length === 0) continue;
    if (form !== 'uniformResourceIdentifier') {
      return rejected('name-constraints', `constraints on ${form} are not supported, and the chain has such names`);
    }
    for (const { text } of namesOf(certificate).filter((name) => name.form === form)) {
      const host = hostOf(text);
      const allowed = permitted.length === 0 || permitted.some((subtree) => isWithin(host, subtree.text));
      if (host === undefined || !allowed || excluded.some((subtree) => isWithin(host, subtree.text))) {
        return rejected('name-constraints', `a CA of the chain is not allowed to vouch for ${text.slice(0, 256)}`);
      }
    }
  }
  return undefined;
}

/** Forms of which `certificate` has names; a subject counts as a directory name and may hold mail addresses. */
function formsOf(certificate: Certificate): ReadonlySet<NameForm> {
  const forms = new Set(namesOf(certificate).map((name) => name.form));
  if (!hasEmptySubject(certificate)) forms.add('directoryName').add('rfc822Name');
  return forms;
}

/** The host of a URI: the trust domain of a SPIFFE ID; other URIs are not read, so they are never within a constraint. */
function hostOf(uri: string): string | undefined {
  const id = trySpiffeId(uri);
  return id === undefined ? undefined : trustDomainOf(id);
}

/** A constraint is one host, or with a leading period everything below it. */
function isWithin(host: string | undefined, constraint: string): boolean {
  const wanted = constraint.toLowerCase();
  if (host === undefined || wanted === '') return false;
  return wanted.startsWith('.') ? host.length > wanted.length && host.endsWith(wanted) : host === wanted;
}
