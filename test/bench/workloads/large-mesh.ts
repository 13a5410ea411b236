/** YAML of a mesh with many imports and peers, and of an edge with many routes. */
const API = 'apiVersion: jumpgate.dev/v1alpha1';

/** As many imports, spread over as many peers, none of which can be reached: they wait for their bundles. */
export function largeMesh({
  imports,
  peers,
}: {
  readonly imports: number;
  readonly peers: number;
}): Record<string, string> {
  const peer = (index: number): string => document('Peer', `p${index}`, `trustDomain: p${index}.example`);
  const one = (index: number): string =>
    document('Import', `i${index}`, `peer: p${index % peers}, export: e${index}, who: ["spiffe://east.example/web"]`);
  return { 'peers.yaml': documents(peers, peer), 'imports.yaml': documents(imports, one) };
}

/** An edge, whose certificate and key are given as PEM, and routes by host name: the last one is {@link routeHost}. */
export function edgeWithRoutes(options: {
  readonly port: number;
  readonly routes: number;
  readonly cert: string;
  readonly key: string;
}): Record<string, string> {
  const { port, routes, cert, key } = options;
  const tls = 'tls: { certificateFile: edge.crt, keyFile: edge.key }';
  const route = (index: number): string =>
    document('Route', `r${index}`, `edge: public, hosts: [${routeHost(index)}], to: { import: bench }`);
  return {
    'edge.yaml': document('Edge', 'public', `address: "127.0.0.1:${port}", ${tls}`),
    'routes.yaml': documents(routes, route),
    'edge.crt': cert,
    'edge.key': key,
  };
}

/** The host of one route. */
export function routeHost(index: number): string {
  return `r${index}.bench.example`;
}

function document(kind: string, name: string, spec: string): string {
  return `${API}\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: { ${spec} }\n`;
}

function documents(count: number, one: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => one(index)).join('---\n');
}
