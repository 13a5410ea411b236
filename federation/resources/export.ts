/** Export: a service of this mesh, where it is and who may call what of it. */
import { notEnforced, object, optional, required } from '../../base/config/object.ts';
import { choice, list, parsed, type Schema, text } from '../../base/config/schema.ts';
import { type AllowRule } from '../policy/rule.ts';
import { dialAddress, dnsLabel, idPattern, isHostName, splitHostPort } from './fields.ts';
import { whatSchema } from './patterns.ts';
import { type ExportSpec } from './values.ts';

const rule: Schema<AllowRule> = parsed(
  object('a rule with peers, who or both', {
    peers: optional(list(dnsLabel)),
    who: optional(list(idPattern)),
    what: optional(whatSchema),
    when: notEnforced,
    how: notEnforced,
    claims: notEnforced,
  }),
  ({ peers, who, what }, { origin, problem }) => {
    if (peers === undefined && who === undefined)
      return problem('expected at least one of peers and who: a rule must say whom it admits');
    return {
      value: {
        ...(peers === undefined ? {} : { peers }),
        ...(who === undefined ? {} : { who }),
        ...(what === undefined ? {} : { what }),
        origin,
      },
    };
  },
);

const authority: Schema<string> = parsed(text('host or host:port'), (value, { place, node }) => {
  const sound = isHostName(value.toLowerCase()) || splitHostPort(value, 1) !== undefined;
  return sound ? { value } : place.unexpected(node, 'host or host:port');
});

const backend = object('a backend as address: host:port', {
  address: required(dialAddress),
  weight: notEnforced,
  tls: notEnforced,
  zone: notEnforced,
});

/** `spec` of an Export. */
export const exportSchema: Schema<ExportSpec> = parsed(
  object('the spec of an Export', {
    protocol: required(choice(['http1', 'http2', 'grpc'], ['tcp', 'tls'])),
    backends: required(list(backend, 1)),
    authority: optional(authority),
    allow: required(list(rule)),
    health: notEnforced,
    limits: notEnforced,
    retry: notEnforced,
    timeout: notEnforced,
    labels: notEnforced,
  }),
  ({ protocol, backends, authority: name, allow }) => ({
    value: { protocol, backends: backends.map((each) => each.address), authority: name, allow },
  }),
);
