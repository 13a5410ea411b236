/** Certificates with the key by which they vouch for others: the anchors of a bundle, made ready once, and intermediates. */
import { type KeyObject } from 'node:crypto';

import { type Bundle } from '../bundle/bundle.ts';
import { type Certificate, importPublicKey, tryCertificate } from '../x509/certificate.ts';

/** A certificate that may vouch for others. Whether it does is for the path to find out. */
export class Authority {
  readonly certificate: Certificate;
  #key: { readonly imported: KeyObject | undefined } | undefined;

  constructor(certificate: Certificate) {
    this.certificate = certificate;
  }

  /** For node:crypto, or `undefined` when OpenSSL refuses it. Imported when first asked for: that costs half a signature check. */
  get key(): KeyObject | undefined {
    this.#key ??= { imported: importPublicKey(this.certificate) };
    return this.#key.imported;
  }
}

/** Finds the anchors of one bundle that could have issued a certificate. */
export class Anchors {
  readonly #bySubject = new Map<string, Authority[]>();

  /** Anchors that do not parse vouch for nothing; readers of bundles leave them out already. */
  constructor(bundle: Bundle) {
    for (const { der } of bundle.x509Authorities) {
      const certificate = tryCertificate(der);
      if (certificate === undefined) continue;
      const subject = nameKey(certificate.subject);
      const named = this.#bySubject.get(subject);
      if (named === undefined) this.#bySubject.set(subject, [new Authority(certificate)]);
      else named.push(new Authority(certificate));
    }
  }

  /** Those with the issuer's name; the key identifier is a hint that sorts and never excludes (RFC 5280 §4.2.1.1). */
  candidatesFor(certificate: Certificate): readonly Authority[] {
    const named = this.#bySubject.get(nameKey(certificate.issuer)) ?? [];
    if (named.length < 2) return named;
    const keyId = certificate.extensions.authorityKeyId;
    const isHinted = (anchor: Authority): boolean => anchor.certificate.extensions.subjectKeyId === keyId;
    return [...named.filter(isHinted), ...named.filter((anchor) => !isHinted(anchor))];
  }
}

/** Names are equal when their octets are. */
function nameKey(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1');
}
