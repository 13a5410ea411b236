/** `identity` of a Mesh: where this gateway's SVID and our bundle come from. */
import { duration } from '../../base/config/duration.ts';
import { defaulted, object, oneByKey, optional, required } from '../../base/config/object.ts';
import { choice, parsed, type Schema, text } from '../../base/config/schema.ts';
import { readWorkloadApiAddress, WORKLOAD_API_ADDRESS } from '../../trust-bundles/source/workload-api-address.ts';
import { filePath, socketPathProblem } from './fields.ts';
import { type IdentitySpec } from './values.ts';

const HOUR_MS = 3_600_000;
const DEFAULTS = {
  /** The lifetime that SPIRE gives too; a stolen key is worth little for long. */
  svidTtlMs: HOUR_MS,
  /** A mesh that sleeps for months still finds its peers. */
  rootTtlMs: 365 * 24 * HOUR_MS,
} as const;

/** What is written; without `directory` the state's own is meant. */
export type WrittenIdentity = IdentitySpec extends infer Spec
  ? Spec extends IdentitySpec
    ? Omit<Spec, 'directory'> & { readonly directory: string | undefined }
    : never
  : never;

/** What is meant where nothing is written. */
export const EMBEDDED_IDENTITY: WrittenIdentity = {
  kind: 'embedded',
  directory: undefined,
  svidTtlMs: DEFAULTS.svidTtlMs,
  rootTtlMs: DEFAULTS.rootTtlMs,
  upstream: undefined,
};

const keyReadableBy = defaulted(choice(['owner', 'group']), 'owner');

const upstream = object('the upstream CA', {
  certificateFile: required(
    filePath('the path of the PEM certificate of the upstream CA, what stands above it after it'),
  ),
  keyFile: required(filePath('the path of its PEM private key')),
  chainFile: optional(filePath('the path of the PEM certificates above it')),
  bundleFile: optional(filePath('the path of its roots, a SPIFFE bundle document or PEM')),
  keyReadableBy,
});

const embedded: Schema<WrittenIdentity> = parsed(
  object('the embedded CA', {
    directory: optional(filePath('the directory of the root keys')),
    svidTtl: defaulted(duration('5s', '24h'), DEFAULTS.svidTtlMs),
    rootTtl: defaulted(duration('1m', '3650d'), DEFAULTS.rootTtlMs),
    upstream: optional(upstream),
  }),
  ({ directory, svidTtl: svidTtlMs, rootTtl: rootTtlMs, upstream: above }, { problem }) =>
    svidTtlMs > rootTtlMs
      ? problem('expected identity.embedded.svidTtl to be at most rootTtl')
      : { value: { kind: 'embedded', directory, svidTtlMs, rootTtlMs, upstream: above } },
);

const files: Schema<WrittenIdentity> = parsed(
  object('svid, key and bundle', {
    svid: required(filePath('the path of the PEM chain, leaf first')),
    key: required(filePath('the path of the PEM private key')),
    bundle: required(filePath('the path of the bundle, a SPIFFE bundle document or PEM')),
    keyReadableBy,
  }),
  (written) => ({ value: { kind: 'files', directory: undefined, files: written } }),
);

const endpointSocket: Schema<string> = parsed(text(WORKLOAD_API_ADDRESS), (value, { place, node, problem }) => {
  const address = readWorkloadApiAddress(value);
  if (address === undefined) return place.unexpected(node, WORKLOAD_API_ADDRESS);
  const tooLong = address.kind === 'unix' ? socketPathProblem(address.path) : undefined;
  return tooLong === undefined ? { value } : problem(tooLong);
});

const workloadApi: Schema<WrittenIdentity> = parsed(
  object('socket and hint', {
    socket: optional(endpointSocket),
    hint: optional(text('the hint of the SVID to use', { maxLength: 1024 })),
  }),
  (written) => ({ value: { kind: 'workloadApi', directory: undefined, ...written } }),
);

/** See the head of this file. */
export const identity = oneByKey<WrittenIdentity>('identity as embedded: {}', { embedded, files, workloadApi });
