/** The demo's two meshes: the YAML that each of their owners would write. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Ports of the sample services. */
export interface ServicePorts {
  readonly orders: number;
  readonly stock: number;
  readonly payments: number;
}

/** Names of the callers, each with an outbound listener of its own in the mesh it belongs to. */
export const CALLERS = {
  web: 'spiffe://us-east.example.org/ns/shop/sa/web',
  batch: 'spiffe://us-east.example.org/ns/shop/sa/batch',
  probe: 'spiffe://us-east.example.org/ns/lab/sa/probe',
  checkout: 'spiffe://eu-west.example.org/ns/shop/sa/checkout',
} as const;

const API = 'apiVersion: jumpgate.dev/v1alpha1';

/** Writes the directory of mesh `us-east`: it exports payments, imports orders, stock and ledger, and has an edge. */
export async function writeUsEast(directory: string, ports: ServicePorts): Promise<void> {
  const mesh = meshDocument('us-east', [CALLERS.web, CALLERS.batch, CALLERS.probe]);
  const documents = [
    mesh,
    `${API}
kind: Export
metadata: { name: payments }
spec:
  protocol: grpc
  backends: [ { address: 127.0.0.1:${ports.payments} } ]
  allow:
    - peers: [eu-west]
      who: [spiffe://eu-west.example.org/ns/shop/sa/*]
      what: { grpc: [payments.v1.Payments/*] }
`,
    importDocument('eu-orders', 'eu-west', 'orders', 'spiffe://us-east.example.org/ns/shop/sa/*'),
    importDocument('eu-stock', 'eu-west', 'stock', 'spiffe://us-east.example.org/jumpgate/edge/public'),
    importDocument('eu-ledger', 'eu-west', 'ledger', 'spiffe://us-east.example.org/ns/shop/sa/*'),
    `${API}
kind: Edge
metadata: { name: public }
spec:
  address: 127.0.0.1:0
  tls: { certificateFile: edge.crt, keyFile: edge.key }
`,
    `${API}
kind: Route
metadata: { name: stock }
spec:
  edge: public
  hosts: [shop.example.org]
  path: /stock/**
  to: { import: eu-stock }
`,
  ];
  await write(directory, documents);
}

/** Writes the directory of mesh `eu-west`: it exports orders and stock (ledger stays at home) and imports payments. */
export async function writeEuWest(directory: string, ports: ServicePorts): Promise<void> {
  const documents = [
    meshDocument('eu-west', [CALLERS.checkout]),
    `${API}
kind: Export
metadata: { name: orders }
spec:
  protocol: http1
  backends: [ { address: 127.0.0.1:${ports.orders} } ]
  allow:
    - peers: [us-east]
      who: [${CALLERS.web}]
      what: { http: [ { methods: [GET], paths: [/orders/**] } ] }
`,
    `${API}
kind: Export
metadata: { name: stock }
spec:
  protocol: http2
  backends: [ { address: 127.0.0.1:${ports.stock} } ]
  allow:
    - peers: [us-east]
      who: [spiffe://us-east.example.org/jumpgate/edge/public]
      what: { http: [ { methods: [GET], paths: [/stock/**] } ] }
`,
    importDocument('us-payments', 'us-east', 'payments', 'spiffe://eu-west.example.org/ns/shop/sa/*'),
  ];
  await write(directory, documents);
}

function meshDocument(name: string, callers: readonly string[]): string {
  const outbound = callers.map((id) => `      - { address: 127.0.0.1:0, as: ${id} }`).join('\n');
  return `${API}
kind: Mesh
metadata: { name: ${name} }
spec:
  trustDomain: ${name}.example.org
  identity: { embedded: {} }
  listeners:
    jump: { address: 127.0.0.1:0 }
    bundle: { address: 127.0.0.1:0, profile: https_spiffe }
    outbound:
${outbound}
    status: { address: 127.0.0.1:0 }
    admin: { socket: ./state/admin.sock }
  store: { files: { directory: ./state } }
  accessLog: { file: ./access.log }
`;
}

function importDocument(name: string, peer: string, exported: string, who: string): string {
  return `${API}
kind: Import
metadata: { name: ${name} }
spec: { peer: ${peer}, export: ${exported}, who: [ "${who}" ] }
`;
}

async function write(directory: string, documents: readonly string[]): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(join(directory, 'jumpgate.yaml'), documents.join('---\n'), { mode: 0o600 });
}
