/** The frame of every document: apiVersion, kind, metadata.name, and the spec of that kind; also as JSON Schema. */
import { type ConfigNode } from '../../base/config/node.ts';
import { object, required } from '../../base/config/object.ts';
import {
  choice,
  type Decoded,
  type JsonSchema,
  type Place,
  parsed,
  type Schema,
  text,
} from '../../base/config/schema.ts';
import { edgeSchema } from './edge.ts';
import { exportSchema } from './export.ts';
import { dnsLabel } from './fields.ts';
import { importSchema } from './import.ts';
import { meshSchema } from './mesh.ts';
import { peerSchema } from './peer.ts';
import { routeSchema } from './route.ts';
import { type Edge, type Export, type Import, type Mesh, type Peer, type Route } from './values.ts';

/** The one version of the format. */
export const API_VERSION = 'jumpgate.dev/v1alpha1';

/** Every kind of document. */
const KINDS = ['Mesh', 'Peer', 'Export', 'Import', 'Edge', 'Route'] as const;

/** A document of any kind. */
export type AnyResource = Mesh | Peer | Export | Import | Edge | Route;

const apiVersion: Schema<string> = parsed(text(API_VERSION, { const: API_VERSION }), (value, { place, node }) =>
  value === API_VERSION ? { value } : place.unexpected(node, API_VERSION),
);

const metadata = object('metadata with a name', { name: required(dnsLabel) });

function frame<K extends AnyResource['kind'], S>(kind: K, spec: Schema<S>) {
  return parsed(
    object(`a ${kind}`, {
      apiVersion: required(apiVersion),
      kind: required(choice([kind])),
      metadata: required(metadata),
      spec: required(spec),
    }),
    (value, { origin }) => ({ value: { kind, name: value.metadata.name, spec: value.spec, origin } }),
  );
}

const SCHEMAS: Readonly<Record<AnyResource['kind'], Schema<AnyResource>>> = {
  Mesh: frame('Mesh', meshSchema),
  Peer: frame('Peer', peerSchema),
  Export: frame('Export', exportSchema),
  Import: frame('Import', importSchema),
  Edge: frame('Edge', edgeSchema),
  Route: frame('Route', routeSchema),
};

const kindOnly = choice(KINDS);

/** Reads one document by the schema of its kind. */
export function readResource(node: ConfigNode, place: Place): Decoded<AnyResource> {
  if (node.kind !== 'map') return place.unexpected(node, 'a document with apiVersion, kind, metadata and spec');
  const entry = node.entries.find(({ key }) => key === 'kind');
  if (entry === undefined) return place.problem(node.origin, `missing key "kind", expected ${kindOnly.expected}`);
  const kind = kindOnly.read(entry.value, place.key('kind'));
  return kind === null ? null : SCHEMAS[kind.value].read(node, place);
}

/** The JSON Schema (draft 2020-12) of a document, for editors and CRDs. Checks across values and documents are not in it. */
export function resourceJsonSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: `Jumpgate ${API_VERSION}`,
    oneOf: KINDS.map((kind) => ({ title: kind, ...SCHEMAS[kind].json() })),
  };
}
