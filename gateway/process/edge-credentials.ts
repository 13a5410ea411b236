/** The listeners of edges with their public certificates, read from the files that the documents name. */
import { readFile } from 'node:fs/promises';

import { JumpgateError, messageOf } from '../../base/errors.ts';
import { type ListenerLimits } from '../../federation/resources/limits.ts';
import { type BindAddress, type Edge } from '../../federation/resources/values.ts';
import { checkCredentials } from '../../trust-bundles/tls/accept.ts';
import { type TlsCredentials } from '../../trust-bundles/tls/context.ts';

/** An edge to open: workers need no right to read its files. */
export interface EdgeListen {
  readonly name: string;
  readonly address: BindAddress;
  readonly credentials: TlsCredentials;
  /** Where they differ from the mesh's. */
  readonly limits?: ListenerLimits | undefined;
}

/** Reads the pairs of all edges. Throws `certificate-unusable` for one that cannot be read or does not fit. */
export function readEdges(edges: readonly Edge[]): Promise<readonly EdgeListen[]> {
  return Promise.all(
    edges.map(async (edge) => {
      const credentials = await credentialsOf(edge);
      checkCredentials(credentials);
      return { name: edge.name, address: edge.spec.address, credentials, limits: edge.spec.limits };
    }),
  );
}

/** The edges that listen, with the certificates of now: an edge that came, went or moved does so at the next start. */
export function renewedEdges(listening: readonly EdgeListen[], now: readonly EdgeListen[]): readonly EdgeListen[] {
  return listening.map((edge) => {
    const credentials = now.find(({ name }) => name === edge.name)?.credentials;
    return credentials === undefined ? edge : { ...edge, credentials };
  });
}

async function credentialsOf({ name, spec }: Edge): Promise<TlsCredentials> {
  try {
    const [cert, key] = await Promise.all([
      readFile(spec.tls.certificateFile, 'utf8'),
      readFile(spec.tls.keyFile, 'utf8'),
    ]);
    return { cert, key };
  } catch (cause) {
    throw new JumpgateError('certificate-unusable', `Edge ${name}: ${messageOf(cause)}`, { source: 'config', cause });
  }
}
