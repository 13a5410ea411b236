/** The documents that `jumpgate init` writes: a Mesh, an Export and an Import that run as they are. */
import { API_VERSION } from './document.ts';

/** What `init` knows. Both are parsed already: a trust domain and a DNS label. */
export interface InitialNames {
  readonly trustDomain: string;
  readonly name: string;
  /** What the first peer will be called here. */
  readonly peer?: string;
  /** Host name or address under which peers reach this gateway. */
  readonly host?: string;
}

/** A file to write. */
export interface InitialFile {
  readonly file: string;
  readonly text: string;
}

/** The files of a new configuration directory. */
export function initialFiles({
  trustDomain,
  name,
  peer = 'peer',
  host = '127.0.0.1',
}: InitialNames): readonly InitialFile[] {
  return [
    { file: 'mesh.yaml', text: meshText(trustDomain, name, host) },
    { file: 'export-hello.yaml', text: exportText(peer) },
    { file: 'import-hello.yaml', text: importText(trustDomain, peer) },
  ];
}

function meshText(trustDomain: string, name: string, host: string): string {
  return `# This mesh and its gateway.
apiVersion: ${API_VERSION}
kind: Mesh
metadata: { name: ${quoted(name)} }
spec:
  trustDomain: ${quoted(trustDomain)}
  identity: { embedded: {} }
  listeners:
    # Where peers' gateways connect. advertise is what invites tell them: put the name or address here that they can reach.
    jump: { address: 0.0.0.0:15443, advertise: [${quoted(`${host}:15443`)}] }
    bundle: { address: 0.0.0.0:8443, profile: https_spiffe, advertise: ${quoted(`https://${host}:8443/`)} }
    # Where local workloads send their calls. Whoever reaches it is this caller.
    outbound: [{ address: 127.0.0.1:15001, as: ${quoted(`spiffe://${trustDomain}/local`)} }]
    status: { address: 127.0.0.1:9902 }
    admin: { socket: ./state/admin.sock }
  store: { files: { directory: ./state } }
`;
}

function exportText(peer: string): string {
  return `# A service of ours that the peer may call. The peer comes to be by invite and join.
apiVersion: ${API_VERSION}
kind: Export
metadata: { name: hello }
spec:
  protocol: http1
  backends: [{ address: 127.0.0.1:8080 }]
  allow:
    - peers: [${quoted(peer)}]
      what: { http: [{ methods: [GET], paths: [/**] }] }
`;
}

function importText(trustDomain: string, peer: string): string {
  return `# The peer's service of the same name, here under http://hello.${peer}.mesh.internal/ through the outbound listener.
apiVersion: ${API_VERSION}
kind: Import
metadata: { name: remote-hello }
spec:
  peer: ${quoted(peer)}
  export: hello
  who: [${quoted(`spiffe://${trustDomain}/**`)}]
`;
}

/** Names such as \`1\` or \`true\` are no texts to YAML unless quoted. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
