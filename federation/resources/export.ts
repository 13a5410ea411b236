/** Export: a service of this mesh, where it is and who may call what of it. */
import { notEnforced, object, optional, required } from '../../base/config/object.ts';
import { choice, list, parsed, type Reading, type Schema, text } from '../../base/config/schema.ts';
import { EXPORT_PROTOCOLS, isTunnelProtocol } from '../policy/protocol.ts';
import { type AllowRule } from '../policy/rule.ts';
import { SERVER_NAMES_MAX, serverNameProblem } from '../policy/server-name.ts';
import { backend } from './backend.ts';
import { dnsLabel, idPattern, isHostName, splitHostPort } from './fields.ts';
import { exportLimits } from './limits.ts';
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

const serverName: Schema<string> = parsed(
  text('a lower-case host name such as db.example.org or *.db.example.org', { maxLength: 253 }),
  (value, { problem }) => {
    const found = serverNameProblem(value);
    if (found === undefined) return { value };
    return problem(`expected ${serverName.expected}, found ${JSON.stringify(value)}: ${found}`);
  },
);

const serverNames: Schema<readonly string[]> = parsed(list(serverName, 1), (names, { problem }) => {
  if (names.length > SERVER_NAMES_MAX)
    return problem(`expected at most ${SERVER_NAMES_MAX} server names, found ${names.length}`);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  return twice === undefined ? { value: names } : problem(`expected each name once, found ${twice} again`);
});

/** Spellings of one backend's headers; more is a list of all there are, which `headerCase` is for. */
const HEADER_NAMES_MAX = 64;

/** A field name (RFC 9110 §5.1), no longer than the engine reads any. */
const headerName: Schema<string> = parsed(
  text('the name of a header as it is to be written, such as SOAPAction', { maxLength: 256 }),
  (value, { problem }) => {
    if (/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/.test(value)) return { value };
    return problem(`expected ${headerName.expected}, found ${JSON.stringify(value)}`);
  },
);

const headerNames: Schema<readonly string[]> = parsed(list(headerName, 1), (names, { problem }) => {
  if (names.length > HEADER_NAMES_MAX)
    return problem(`expected at most ${HEADER_NAMES_MAX} header names, found ${names.length}`);
  const lower = names.map((name) => name.toLowerCase());
  const twice = names.find((name, index) => lower.indexOf(name.toLowerCase()) !== index);
  return twice === undefined ? { value: names } : problem(`expected each name once, found ${twice} again`);
});

/** `spec` of an Export. */
export const exportSchema: Schema<ExportSpec> = parsed(
  object('the spec of an Export', {
    protocol: required(choice(EXPORT_PROTOCOLS)),
    backends: required(list(backend, 1)),
    authority: optional(authority),
    serverNames: optional(serverNames),
    headerCase: optional(choice(['lower', 'title'])),
    headerNames: optional(headerNames),
    allow: required(list(rule)),
    health: notEnforced,
    limits: optional(exportLimits),
    retry: notEnforced,
    timeout: notEnforced,
    labels: notEnforced,
  }),
  (spec, reading) => {
    if (!suits(spec, reading)) return null;
    const { protocol, backends, authority: name, serverNames: names = [], allow, limits } = spec;
    const { headerCase = 'lower', headerNames: spellings = [] } = spec;
    const isPlain = headerCase === 'lower' && spellings.length === 0;
    return {
      value: {
        protocol,
        backends,
        authority: name,
        serverNames: names,
        allow,
        ...(isPlain ? {} : { headerSpelling: { case: headerCase, names: spellings } }),
        ...(limits === undefined ? {} : { limits }),
      },
    };
  },
);

/** Limits that mean something for calls only; a WebSocket is a tunnel too. */
const CALL_LIMITS = ['responseDeadlineMs', 'bodyBytesPerSecond', 'bodyStallMs', 'streamsPerBackendConnection'] as const;

type Written = Pick<ExportSpec, 'protocol' | 'backends' | 'authority' | 'allow'> & {
  readonly serverNames: readonly string[] | undefined;
  readonly headerCase: string | undefined;
  readonly headerNames: readonly string[] | undefined;
  readonly limits: ExportSpec['limits'] | undefined;
};

/** Whether nothing is said that the protocol cannot keep. */
function suits(written: Written, reading: Reading): boolean {
  const { protocol, backends, authority: name, serverNames: names, allow, limits = {} } = written;
  const { place, origin } = reading;
  let sound = true;
  const tell = (at: typeof place, where: typeof origin, message: string): void => {
    sound = false;
    at.problem(where, message);
  };
  if (protocol === 'tls' && names === undefined)
    tell(place, origin, 'missing key "serverNames": a tls export serves the names that a ClientHello may ask for');
  if (protocol !== 'tls' && names !== undefined)
    tell(place.key('serverNames'), origin, `expected serverNames under protocol tls only, found protocol ${protocol}`);
  for (const key of ['headerCase', 'headerNames'] as const) {
    if (protocol !== 'http1' && written[key] !== undefined)
      tell(place.key(key), origin, `expected ${key} under protocol http1 only, found protocol ${protocol}`);
  }
  if (protocol === 'http1' && limits.streamsPerBackendConnection !== undefined)
    tell(
      place.key('limits').key('streamsPerBackendConnection'),
      origin,
      'expected no streamsPerBackendConnection under protocol http1, whose connections carry one call at a time',
    );
  for (const [index, { tls }] of backends.entries()) {
    if (protocol !== 'tls' || tls === undefined) continue;
    const message = 'expected no tls under protocol tls, which carries the TLS of the client to the service';
    tell(place.key('backends').item(index).key('tls'), origin, message);
  }
  if (!isTunnelProtocol(protocol)) return sound;
  for (const limit of CALL_LIMITS) {
    if (limits[limit] !== undefined)
      tell(
        place.key('limits').key(limit),
        origin,
        `expected no ${limit} under protocol ${protocol}, which carries connections unread`,
      );
  }
  if (name !== undefined)
    tell(
      place.key('authority'),
      origin,
      `expected no authority under protocol ${protocol}, which carries connections unread`,
    );
  for (const [index, rule] of allow.entries()) {
    if (rule.what === undefined) continue;
    const message = `expected no "what" under protocol ${protocol}: a connection has no method and no path, so peers and who decide`;
    tell(place.key('allow').item(index).key('what'), rule.origin, message);
  }
  return sound;
}
