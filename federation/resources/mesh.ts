/** Mesh: this mesh and this gateway. */
import { dirname, join, resolve } from 'node:path';
import { defaulted, notEnforced, object, oneByKey, optional, required } from '../../base/config/object.ts';
import { duration } from '../../base/config/duration.ts';
import {
  choice,
  type Decoded,
  integer,
  list,
  parsed,
  type Place,
  type Reading,
  type Schema,
  text,
} from '../../base/config/schema.ts';
import { LOG_LEVELS } from '../../base/log.ts';
import { type Origin } from '../../base/origin.ts';
import { gatewayIdOf, type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { bindAddress, dialAddress, filePath, foreignIdProblem, httpsUrl, type Located } from './fields.ts';
import { located, socketPath, socketPathProblem, spiffeId, trustDomain } from './fields.ts';
import { EMBEDDED_IDENTITY, identity } from './identity.ts';
import { DEFAULT_LIMITS, meshLimits } from './limits.ts';
import { bindTo, outboundListener } from './outbound-listener.ts';
import { type MeshSpec, type OutboundListenerSpec } from './values.ts';
import { workloadApi } from './workload-api.ts';

const DEFAULTS = {
  directory: './state',
  jump: { host: '0.0.0.0', port: 15_443 },
  bundle: { host: '0.0.0.0', port: 8443 },
  status: { host: '127.0.0.1', port: 9902 },
  /** TB §6.1: five minutes recommended. */
  refreshHintMs: 300_000,
  /** Two, so that one may be lost or replaced without a refused call. */
  linksPerPeer: 2,
  /** security.md §3. */
  drainMs: 30_000,
} as const;

const status = parsed(
  object('address or socket', { address: optional(bindAddress), socket: optional(socketPath) }),
  bindTo,
);

const admin: Schema<MeshSpec['listeners']['admin']> = parsed(
  object('socket, or address with tokenFile', {
    address: optional(bindAddress),
    socket: optional(socketPath),
    tokenFile: optional(filePath('the path of the file that holds the bearer token')),
  }),
  (spec, reading) => {
    const bound = bindTo(spec, reading);
    if (bound === null) return null;
    const address = bound.value;
    if (address.kind === 'tcp' && spec.tokenFile === undefined)
      return reading.problem('expected tokenFile beside address: the admin API on TCP demands a bearer token');
    return { value: { address, tokenFile: spec.tokenFile } };
  },
);

const jump = object('address and advertise', {
  address: defaulted(bindAddress, DEFAULTS.jump),
  advertise: defaulted(list(dialAddress), []),
});

const bundle: Schema<MeshSpec['listeners']['bundle']> = parsed(
  object('address, profile, advertise and refreshHint', {
    address: defaulted(bindAddress, DEFAULTS.bundle),
    profile: defaulted(choice(['https_spiffe', 'https_web']), 'https_spiffe'),
    certificateFile: optional(filePath('the path of a PEM certificate')),
    keyFile: optional(filePath('the path of a PEM private key')),
    advertise: optional(httpsUrl),
    refreshHint: defaulted(duration('1s', '1h'), DEFAULTS.refreshHintMs),
  }),
  (
    { address, profile, certificateFile, keyFile, advertise, refreshHint },
    { problem },
  ): Decoded<MeshSpec['listeners']['bundle']> => {
    const refreshHintSeconds = Math.floor(refreshHint / 1000);
    const common = { address: { kind: 'tcp', ...address }, advertise, refreshHintSeconds } as const;
    if (profile === 'https_spiffe') {
      if (certificateFile === undefined && keyFile === undefined) return { value: { ...common, web: undefined } };
      return problem('expected no certificateFile and keyFile with profile https_spiffe, which shows our SVID');
    }
    if (certificateFile === undefined || keyFile === undefined || advertise === undefined)
      return problem('expected certificateFile, keyFile and advertise with profile https_web');
    return { value: { ...common, web: { certificateFile, keyFile } } };
  },
);

const listeners = object('the listeners', {
  jump: optional(jump),
  bundle: optional(bundle),
  outbound: defaulted(list(located(outboundListener)), []),
  status: optional(status),
  admin: optional(admin),
  workloadApi: defaulted(list(workloadApi), []),
  dns: notEnforced,
});

/** redis: and rediss: URLs; a password in one would stand in YAML in the clear. */
const redisUrl: Schema<string> = parsed(text('a URL redis://host:port or rediss://host:port'), (value, { problem }) => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !/^rediss?:$/.test(url.protocol) || url.hostname === '')
    return problem('expected a URL redis://host:port or rediss://host:port');
  return url.password === '' ? { value } : problem('expected a URL without a password: give it by passwordFile');
});

const store = oneByKey<MeshSpec['store']>('a store as files or redis', {
  files: parsed(
    object('a directory', { directory: optional(filePath('a directory')) }),
    ({ directory }, { origin }) => ({
      value: { kind: 'files', directory: directory ?? resolve(dirname(origin.file), DEFAULTS.directory) },
    }),
  ),
  redis: parsed(
    object('url, passwordFile and sealKeyFile', {
      url: required(redisUrl),
      passwordFile: optional(filePath('the path of the file that holds the password')),
      sealKeyFile: required(filePath('the path of the file that holds the key of the rows’ MAC')),
    }),
    (redis) => ({ value: { kind: 'redis', ...redis } }),
  ),
});

/** As many as the primary has room for. */
const WORKERS_MAX = 256;

const workers: Schema<MeshSpec['workers']> = {
  expected: `auto, or an integer from 0 to ${WORKERS_MAX}`,
  read: (node, place) => {
    if (node.kind === 'string' && node.value === 'auto') return { value: 'auto' };
    if (node.kind === 'integer' && node.value >= 0 && node.value <= WORKERS_MAX) return { value: node.value };
    return place.unexpected(node, workers.expected);
  },
  json: () => ({
    anyOf: [{ const: 'auto' }, { type: 'integer', minimum: 0, maximum: WORKERS_MAX }],
    description: workers.expected,
  }),
};

const fields = object('the spec of a Mesh', {
  trustDomain: required(trustDomain),
  gatewayId: optional(located(spiffeId)),
  identity: optional(identity),
  listeners: optional(listeners),
  store: optional(store),
  linksPerPeer: defaulted(integer(1, 16), DEFAULTS.linksPerPeer),
  linkMaxAge: optional(duration('10s', '365d')),
  accessLog: optional(object('a file', { file: required(filePath('the path of the access log')) })),
  logLevel: defaulted(choice(LOG_LEVELS), 'info'),
  drain: defaulted(duration('0s', '24h'), DEFAULTS.drainMs),
  workers: defaulted(workers, 'auto'),
  limits: defaulted(meshLimits, DEFAULT_LIMITS),
  tracing: notEnforced,
  audit: notEnforced,
  dns: notEnforced,
});

/** `spec` of a Mesh. */
export const meshSchema: Schema<MeshSpec> = parsed(fields, (spec, reading) => {
  const { trustDomain: domain, gatewayId } = spec;
  if (!idsAreOurs(domain, gatewayId, spec.listeners?.outbound ?? [], reading)) return null;
  const state = resolve(dirname(reading.origin.file), DEFAULTS.directory);
  const chosen: MeshSpec['store'] = spec.store ?? { kind: 'files', directory: state };
  const directory = chosen.kind === 'files' ? chosen.directory : state;
  const socket = join(directory, 'admin.sock');
  const tooLong = spec.listeners?.admin === undefined ? socketPathProblem(socket) : undefined;
  if (tooLong !== undefined) return reading.problem(`the default of listeners.admin: ${tooLong}`);
  const from = spec.identity ?? EMBEDDED_IDENTITY;
  return {
    value: {
      trustDomain: domain,
      gatewayId: gatewayId?.value ?? gatewayIdOf(domain),
      identity: { ...from, directory: from.directory ?? directory },
      listeners: listenersOf(spec.listeners, socket),
      store: chosen,
      linksPerPeer: spec.linksPerPeer,
      linkMaxAgeMs: spec.linkMaxAge,
      accessLogFile: spec.accessLog?.file,
      logLevel: spec.logLevel,
      drainMs: spec.drain,
      workers: spec.workers,
      limits: spec.limits,
    },
  };
});

type Written<S> = S extends Schema<infer T> ? T : never;

const NO_JUMP: Written<typeof jump> = { address: DEFAULTS.jump, advertise: [] };
const NO_BUNDLE: MeshSpec['listeners']['bundle'] = {
  address: { kind: 'tcp', ...DEFAULTS.bundle },
  web: undefined,
  advertise: undefined,
  refreshHintSeconds: DEFAULTS.refreshHintMs / 1000,
};

function listenersOf(written: Written<typeof listeners> | undefined, adminSocket: string): MeshSpec['listeners'] {
  const jumpPort = written?.jump ?? NO_JUMP;
  return {
    jump: { address: { kind: 'tcp', ...jumpPort.address }, advertise: jumpPort.advertise },
    bundle: written?.bundle ?? NO_BUNDLE,
    outbound: (written?.outbound ?? []).map(({ value }) => value),
    status: written?.status ?? { kind: 'tcp', ...DEFAULTS.status },
    admin: written?.admin ?? { address: { kind: 'unix', path: adminSocket }, tokenFile: undefined },
    workloadApi: written?.workloadApi ?? [],
  };
}

function idsAreOurs(
  domain: TrustDomain,
  gatewayId: Located<SpiffeId> | undefined,
  outbounds: readonly Located<OutboundListenerSpec>[],
  { place }: Reading,
): boolean {
  let sound = true;
  const check = (found: string | undefined, at: Place, origin: Origin): void => {
    if (found === undefined) return;
    sound = false;
    at.problem(origin, found);
  };
  if (gatewayId !== undefined) {
    const found = foreignIdProblem(gatewayId.value, domain, true);
    check(found, place.key('gatewayId'), gatewayId.origin);
  }
  for (const [index, { value, origin }] of outbounds.entries()) {
    if (value.caller.kind !== 'as') continue;
    const found = foreignIdProblem(value.caller.id, domain, false);
    const at = place.key('listeners').key('outbound').item(index).key('as');
    check(found, at, origin);
  }
  return sound;
}
