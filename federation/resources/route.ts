/** Route: which outside calls of an edge go to which export or import. */
import { defaulted, notEnforced, object, oneByKey, required } from '../../base/config/object.ts';
import { list, parsed, type Schema } from '../../base/config/schema.ts';
import { dnsLabel, hostName } from './fields.ts';
import { pathPattern } from './patterns.ts';
import { type RouteSpec } from './values.ts';

const host: Schema<string> = parsed(hostName, (value, { problem }) => {
  if (value !== 'jumpgate' && !value.endsWith('.jumpgate')) return { value };
  return problem(
    `expected a host name outside .jumpgate, which is reserved for gateways, found ${JSON.stringify(value)}`,
  );
});

const target = oneByKey<RouteSpec['to']>('export: NAME or import: NAME', {
  export: parsed(dnsLabel, (name) => ({ value: { kind: 'export', name } })),
  import: parsed(dnsLabel, (name) => ({ value: { kind: 'import', name } })),
});

/** `spec` of a Route. */
export const routeSchema: Schema<RouteSpec> = object('the spec of a Route', {
  edge: required(dnsLabel),
  hosts: required(list(host, 1)),
  path: defaulted(pathPattern, '/**'),
  to: required(target),
  rewrite: notEnforced,
  timeout: notEnforced,
  retry: notEnforced,
  weight: notEnforced,
});
