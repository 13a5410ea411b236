/** One backend of an Export: where the service listens, and over TLS whom it must prove to be. */
import { notEnforced, object, optional, required } from '../../base/config/object.ts';
import { type Decoded, parsed, type Schema } from '../../base/config/schema.ts';
import { dialAddress, filePath, hostName, spiffeId } from './fields.ts';
import { type BackendSpec, type BackendTlsSpec } from './values.ts';

const tls: Schema<BackendTlsSpec> = parsed(
  object('tls as spiffeId or ca, and sni', {
    spiffeId: optional(spiffeId),
    ca: optional(filePath('the path of a PEM file with the certificates of CAs')),
    sni: optional(hostName),
  }),
  ({ spiffeId: id, ca: file, sni }, { problem }): Decoded<BackendTlsSpec> => {
    if (id !== undefined && file === undefined) return { value: { trust: { kind: 'spiffe', id }, sni } };
    // The anchors are read with the other files that documents name.
    if (file !== undefined && id === undefined) return { value: { trust: { kind: 'ca', file, anchors: [] }, sni } };
    return problem('expected exactly one of spiffeId and ca: it says whom the backend must prove to be');
  },
);

/** An item of `backends`. */
export const backend: Schema<BackendSpec> = parsed(
  object('a backend as address: host:port', {
    address: required(dialAddress),
    tls: optional(tls),
    weight: notEnforced,
    zone: notEnforced,
  }),
  ({ address, tls: secured }) => ({ value: secured === undefined ? address : { ...address, tls: secured } }),
);
