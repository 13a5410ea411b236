/** Which changes a running gateway cannot take up: they are named, and wait for a restart. */
import { isDeepStrictEqual } from 'node:util';
import { sharedServerName } from './shared-port.ts';
import { type MeshSpec, type ResourceSet } from './values.ts';

/** Everything of a Mesh but what is read anew at every use (log level, drain time, bundle advertisement). */
const FIELDS: readonly (readonly [name: string, valueOf: (spec: MeshSpec) => unknown])[] = [
  ['trustDomain', (spec) => spec.trustDomain],
  ['gatewayId', (spec) => spec.gatewayId],
  ['identity', (spec) => spec.identity],
  ['listeners.jump.address', (spec) => spec.listeners.jump.address],
  ['listeners.bundle.address', (spec) => spec.listeners.bundle.address],
  ['listeners.bundle.advertise', (spec) => sharedServerName(spec.listeners)],
  ['listeners.bundle.profile', (spec) => spec.listeners.bundle.web],
  ['listeners.outbound', (spec) => spec.listeners.outbound],
  ['listeners.status', (spec) => spec.listeners.status],
  ['listeners.admin', (spec) => spec.listeners.admin],
  ['store', (spec) => spec.store],
  ['workers', (spec) => spec.workers],
  ['linksPerPeer', (spec) => spec.linksPerPeer],
  ['linkMaxAge', (spec) => spec.linkMaxAgeMs],
  ['accessLog', (spec) => spec.accessLogFile],
  ['limits', (spec) => spec.limits],
];

/** The changed fields that need a restart, such as `Mesh us-east: spec.trustDomain` or `Edge public: spec.address`. */
export function restartFields(old: ResourceSet, next: ResourceSet): string[] {
  const fields: string[] = [];
  if (old.mesh.name !== next.mesh.name) fields.push(`Mesh ${old.mesh.name}: metadata.name`);
  for (const [name, valueOf] of FIELDS) {
    if (isDeepStrictEqual(valueOf(old.mesh.spec), valueOf(next.mesh.spec))) continue;
    fields.push(`Mesh ${next.mesh.name}: spec.${name}`);
  }
  for (const valuesOf of [edgeAddresses, edgeLimits, importListeners]) {
    const before = valuesOf(old);
    const after = valuesOf(next);
    for (const name of new Set([...before.keys(), ...after.keys()])) {
      if (!isDeepStrictEqual(before.get(name), after.get(name))) fields.push(name);
    }
  }
  return fields;
}

function edgeAddresses({ edges }: ResourceSet): ReadonlyMap<string, unknown> {
  return new Map(edges.map(({ name, spec }) => [`Edge ${name}: spec.address`, spec.address]));
}

function edgeLimits({ edges }: ResourceSet): ReadonlyMap<string, unknown> {
  return new Map(edges.map(({ name, spec }) => [`Edge ${name}: spec.limits`, spec.limits]));
}

function importListeners({ imports }: ResourceSet): ReadonlyMap<string, unknown> {
  return new Map(
    imports.map(({ name, spec: { listen } }) => {
      // Where it is written does not matter.
      const { address, caller, limits } = listen ?? {};
      return [`Import ${name}: spec.listen`, listen && { address, caller, limits }];
    }),
  );
}
