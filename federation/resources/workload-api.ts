/** The sockets on which this gateway serves the SPIFFE Workload API: each for one identity, by its file permission. */
import { defaulted, object, optional, required } from '../../base/config/object.ts';
import { duration } from '../../base/config/duration.ts';
import { integer, list, parsed, type Schema, text } from '../../base/config/schema.ts';
import { pathOf, type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { dnsLabel, foreignIdProblem, socketPath, spiffeId } from './fields.ts';
import { type WorkloadApiSpec } from './values.ts';

const DEFAULTS = {
  /** As of the gateway's own SVID, and of SPIRE's. */
  ttlMs: 3_600_000,
  /** The lifetime that SPIRE gives; a stolen token is worth little for long. */
  jwtTtlMs: 300_000,
  /** A workload opens one or a few: each process behind one identity has its own. */
  connections: 64,
  streams: 256,
  /** Validation may be asked for each call that a workload takes; so much costs a tenth of a processor. */
  requestsPerSecond: 500,
} as const;

const HINT_BYTES_MAX = 1024;
const MODES = { '0600': 0o600, '0660': 0o660 } as const;
const MODE = 'a mode as text, "0600" or "0660": the file permission is the only proof of who calls';
const ACCOUNT = 'a name or a number';

const mode: Schema<WorkloadApiSpec['mode']> = {
  expected: MODE,
  read: (node, place) => {
    if (node.kind === 'string' && (node.value === '0600' || node.value === '0660')) return { value: MODES[node.value] };
    return place.unexpected(node, MODE);
  },
  json: () => ({ type: 'string', enum: Object.keys(MODES), description: MODE }),
};

const account: Schema<string> = {
  expected: ACCOUNT,
  read: (node, place) => {
    if (node.kind === 'string' && /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(node.value)) return { value: node.value };
    if (node.kind === 'integer' && node.value >= 0) return { value: String(node.value) };
    return place.unexpected(node, ACCOUNT);
  },
  json: () => ({ anyOf: [{ type: 'string' }, { type: 'integer', minimum: 0 }], description: ACCOUNT }),
};

const peerNames = list(dnsLabel);
const PEERS = 'all, or a list of names of peers';

const federatesWith: Schema<WorkloadApiSpec['federatesWith']> = {
  expected: PEERS,
  read: (node, place) => {
    if (node.kind === 'string' && node.value === 'all') return { value: 'all' };
    return node.kind === 'list' ? peerNames.read(node, place) : place.unexpected(node, PEERS);
  },
  json: () => ({ anyOf: [{ const: 'all' }, peerNames.json()], description: PEERS }),
};

const JWT = 'off, or a mapping with ttl';
const jwtOn = object(JWT, { ttl: defaulted(duration('10s', '24h'), DEFAULTS.jwtTtlMs) });

const jwt: Schema<{ readonly ttlMs: number | undefined }> = {
  expected: JWT,
  read: (node, place) => {
    if (node.kind === 'string' && node.value === 'off') return { value: { ttlMs: undefined } };
    const on = node.kind === 'map' ? jwtOn.read(node, place) : place.unexpected(node, JWT);
    return on === null ? null : { value: { ttlMs: on.value.ttl } };
  },
  json: () => ({ anyOf: [{ const: 'off' }, jwtOn.json()] }),
};

const hint = parsed(text('a hint for the workload'), (value, { problem }) => {
  const bytes = Buffer.byteLength(value);
  if (bytes <= HINT_BYTES_MAX) return { value };
  return problem(`expected a hint of at most ${HINT_BYTES_MAX} bytes, found ${bytes}`);
});

const limits = object('connections, streams and requestsPerSecond', {
  connections: defaulted(integer(1, 10_000), DEFAULTS.connections),
  streams: defaulted(integer(1, 10_000), DEFAULTS.streams),
  requestsPerSecond: defaulted(integer(1, 100_000), DEFAULTS.requestsPerSecond),
});

const { connections, streams, requestsPerSecond } = DEFAULTS;

/** A socket of the Workload API. */
export const workloadApi: Schema<WorkloadApiSpec> = parsed(
  object('a socket of the Workload API with socket and identity', {
    socket: required(socketPath),
    identity: required(spiffeId),
    mode: optional(mode),
    owner: optional(account),
    group: optional(account),
    ttl: defaulted(duration('1m', '24h'), DEFAULTS.ttlMs),
    hint: optional(hint),
    federatesWith: defaulted(federatesWith, []),
    jwt: defaulted(jwt, { ttlMs: DEFAULTS.jwtTtlMs }),
    limits: defaulted(limits, { connections, streams, requestsPerSecond }),
  }),
  (spec, { origin }) => ({
    value: {
      path: spec.socket,
      identity: spec.identity,
      // A group is named to let it in.
      mode: spec.mode ?? (spec.group === undefined ? MODES['0600'] : MODES['0660']),
      owner: spec.owner,
      group: spec.group,
      ttlMs: spec.ttl,
      hint: spec.hint,
      federatesWith: spec.federatesWith,
      jwtTtlMs: spec.jwt.ttlMs,
      limits: {
        connectionsMax: spec.limits.connections,
        streamsMax: spec.limits.streams,
        requestsPerSecondMax: spec.limits.requestsPerSecond,
      },
      origin,
    },
  }),
);

/** Why an identity may not be served, or `undefined`: it is a workload of ours, and never a gateway. */
export function identityProblem(id: SpiffeId, domain: TrustDomain, gatewayId: SpiffeId): string | undefined {
  if (id === gatewayId) return `expected the SPIFFE ID of a workload, found that of this gateway`;
  if (pathOf(id) === '') return `expected the SPIFFE ID of a workload, found one without a path`;
  return foreignIdProblem(id, domain, false);
}
