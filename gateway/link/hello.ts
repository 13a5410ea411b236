/** The first exchange on a link: who speaks, and which versions both know (wire.md, Links). */
import { asList, asRecord } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { tryTrustDomain, type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';

/** Authority of the hello, and its path. */
export const HELLO_AUTHORITY = 'hello.jumpgate';
export const HELLO_PATH = '/hello';

/** Authority at which a peer reads our bundle over a link, path `/`. */
export const BUNDLE_AUTHORITY = 'bundle.jumpgate';

/** A hello has a handful of short members. */
export const HELLO_BYTES_MAX = 4 * 1024;

/** Versions of the link protocol that this gateway speaks. */
export const LINK_VERSIONS = { min: 1, max: 1 } as const;

const FEATURES_MAX = 32;
const WORKERS_MAX = 1_024;
const INSTANCE = /^[a-z0-9][a-z0-9-]{0,63}$/;
const FEATURE = /^[a-z0-9][a-z0-9.-]{0,63}$/;

/** One side's hello. */
export interface Hello {
  readonly versions: { readonly min: number; readonly max: number };
  readonly trustDomain: TrustDomain;
  /** The instance: lower-case letters, digits and hyphens, at most 64, the same for the life of its state. */
  readonly instance: string;
  /** The instance's stored boot counter. */
  readonly epoch: bigint;
  /** Which of how many workers; counts from 0. */
  readonly worker: number;
  readonly workers: number;
  readonly features: readonly string[];
}

/** The JSON of a hello. */
export function writeHello(hello: Hello): string {
  return JSON.stringify({ ...hello, epoch: String(hello.epoch) });
}

/** Reads a hello strictly; unknown members are a newer version's. Throws `hello-malformed` (source peer). */
export function readHello(text: string | Uint8Array): Hello {
  const record = asRecord(parse(text)) ?? {};
  const { trustDomain, instance, epoch, worker, workers } = record;
  const { min, max } = asRecord(record['versions']) ?? {};
  if (!isCount(min, 1, 65_535) || !isCount(max, min, 65_535)) throw malformed('versions with min and max');
  const domain = typeof trustDomain === 'string' ? tryTrustDomain(trustDomain) : undefined;
  if (domain === undefined) throw malformed('a trust domain');
  if (typeof instance !== 'string' || !INSTANCE.test(instance)) throw malformed('an instance');
  if (typeof epoch !== 'string' || !/^\d{1,19}$/.test(epoch)) throw malformed('an epoch in decimal digits');
  if (!isCount(workers, 1, WORKERS_MAX) || !isCount(worker, 0, workers - 1)) throw malformed('worker and workers');
  const features = asList(record['features']);
  if (features === undefined || features.length > FEATURES_MAX) throw malformed('a list of features');
  const names = features.map((feature) => {
    if (typeof feature !== 'string' || !FEATURE.test(feature)) throw malformed('features that are lower-case tokens');
    return feature;
  });
  const versions = { min, max };
  return { versions, trustDomain: domain, instance, epoch: BigInt(epoch), worker, workers, features: names };
}

/** The version that both speak, or a sentence on why there is none. */
export function commonVersion(
  ours: Hello['versions'],
  theirs: Hello['versions'],
): { readonly kind: 'common'; readonly version: number } | { readonly kind: 'none'; readonly message: string } {
  const version = Math.min(ours.max, theirs.max);
  if (version >= Math.max(ours.min, theirs.min)) return { kind: 'common', version };
  const message = `expected a link version of ${ours.min} to ${ours.max}, found ${theirs.min} to ${theirs.max}: one side needs an upgrade`;
  return { kind: 'none', message };
}

function isCount(value: unknown, low: number, high: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high;
}

function parse(text: string | Uint8Array): unknown {
  try {
    return parseJson(text, { maxBytes: HELLO_BYTES_MAX, maxDepth: 4 });
  } catch (cause) {
    throw malformed('JSON', cause);
  }
}

function malformed(expected: string, cause?: unknown): JumpgateError {
  return new JumpgateError('hello-malformed', `malformed hello: expected ${expected}`, { source: 'peer', cause });
}
