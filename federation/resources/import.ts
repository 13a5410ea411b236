/** Import: a peer's export as seen here, and which local callers may use it. */
import { notEnforced, object, optional, required } from '../../base/config/object.ts';
import { list, parsed, type Schema } from '../../base/config/schema.ts';
import { dnsLabel, hostName, idPattern } from './fields.ts';
import { importListen, listenOf } from './outbound-listener.ts';
import { type ImportSpec } from './values.ts';

const alias: Schema<string> = parsed(hostName, (value, { problem }) => {
  if (value === 'jumpgate' || value.endsWith('.jumpgate'))
    return problem(
      `expected a host name outside .jumpgate, which is reserved for gateways, found ${JSON.stringify(value)}`,
    );
  if (value === 'mesh.internal' || value.endsWith('.mesh.internal'))
    return problem(
      `expected a host name outside .mesh.internal, where imports have their own names, found ${JSON.stringify(value)}`,
    );
  return { value };
});

/** `spec` of an Import. */
export const importSchema: Schema<ImportSpec> = parsed(
  object('the spec of an Import', {
    peer: required(dnsLabel),
    export: required(dnsLabel),
    alias: optional(alias),
    who: required(list(idPattern)),
    listen: optional(importListen),
    what: notEnforced,
    when: notEnforced,
    how: notEnforced,
    retry: notEnforced,
    timeout: notEnforced,
  }),
  ({ peer, export: name, alias: host, who, listen: written }, reading) => {
    const listen = written === undefined ? { value: undefined } : listenOf(written, who, reading);
    return listen && { value: { peer, export: name, alias: host, who, listen: listen.value } };
  },
);
