/** Edge: a listener for outside callers (north/south), with its public certificate. */
import { notEnforced, object, optional, required } from '../../base/config/object.ts';
import { parsed, type Schema } from '../../base/config/schema.ts';
import { bindAddress, filePath } from './fields.ts';
import { listenerLimits } from './limits.ts';
import { type EdgeSpec } from './values.ts';

const tls = object('the public certificate as certificateFile and keyFile', {
  certificateFile: required(filePath('the path of a PEM certificate chain')),
  keyFile: required(filePath('the path of a PEM private key')),
  clientCertificates: notEnforced,
});

/** `spec` of an Edge. */
export const edgeSchema: Schema<EdgeSpec> = parsed(
  object('the spec of an Edge', {
    address: required(bindAddress),
    tls: required(tls),
    limits: optional(listenerLimits),
    authentication: notEnforced,
    trustedHops: notEnforced,
  }),
  ({ address, tls: { certificateFile, keyFile }, limits }) => ({
    value: {
      address: { kind: 'tcp', ...address },
      tls: { certificateFile, keyFile },
      ...(limits === undefined ? {} : { limits }),
    },
  }),
);
