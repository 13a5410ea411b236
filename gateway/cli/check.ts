/** `jumpgate check`: whether a server keeps to its specification, seen from outside and without a gateway. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { sleep } from '../../base/clock.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { judgeBundleEndpoint } from '../../trust-bundles/conformance/bundle-endpoint.ts';
import { type ExpectedEndpoint, type Visit } from '../../trust-bundles/conformance/observation.ts';
import { parseSpiffeId, trustDomainOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { readEndpointUrl } from '../../trust-bundles/tls/endpoint-url.ts';
import { isUnreachable, probeBundleEndpoint, type ProbeOptions, visitAll } from '../../trust-bundles/tls/probe.ts';
import { EXIT } from './io.ts';
import { type Column, formatOf, print, printable, table } from './output.ts';
import { secondsOf } from './seconds.ts';
import { OUTPUT_OPTION, usage, type Verb, type VerbContext } from './verb.ts';

const COLUMNS: readonly Column[] = [
  { heading: 'LINE', member: 'line' },
  { heading: 'OUTCOME', member: 'outcome' },
  { heading: 'RULE', member: 'rule' },
  { heading: 'SECTION', member: 'section' },
  { heading: 'SEEN', member: 'seen' },
];

/** Each is kept, with at most 1 MiB, until all are judged. */
const LATER_VISITS_MAX = 60;
const WATCH_INTERVAL_MS_MIN = 1000;
const WATCH_SECONDS_MAX = 24 * 60 * 60;

/** Checks a server, ours or anybody's. */
export const checkVerb: Verb = {
  name: 'check',
  summary: 'check a bundle endpoint, line by line, against the SPIFFE specifications',
  operands: 'bundle-endpoint URL',
  operandsMin: 2,
  operandsMax: 2,
  options: {
    ...OUTPUT_OPTION,
    profile: { argument: 'PROFILE', help: 'https_web or https_spiffe' },
    'trust-domain': { argument: 'NAME', help: 'whose bundle the endpoint serves' },
    'spiffe-id': { argument: 'ID', help: 'https_spiffe: who must serve it; default any ID of the trust domain' },
    bundle: { argument: 'FILE', help: 'https_spiffe: the bundle that vouches for the server; default what it serves' },
    ca: { argument: 'FILE', help: 'https_web: PEM of the CAs that may vouch for it; default those of this machine' },
    watch: { argument: 'DURATION', help: 'observe for so long what only time shows, such as 10m' },
  },
  details: [
    'Outcomes: pass, fail (a MUST), warn (a SHOULD), not-applicable, not-seen.',
    'Exit code 0 when nothing fails, 1 otherwise, 2 for wrong arguments, 3 when the server cannot be reached.',
    'Nothing is asked of a gateway, and nothing that comes is believed or stored.',
  ],
  run: async (context) => {
    formatOf(context);
    const { options, expected, watchSeconds } = await requestOf(context);
    const observed = await probeBundleEndpoint(options, expected);
    const [first] = observed.visits;
    if (isUnreachable(first)) {
      const reason = first.chain.kind === 'failed' ? first.chain.reason : '';
      context.io.stderr.write(`jumpgate: ${printable(reason)}\n`);
      return EXIT.unreachable;
    }
    const later = watchSeconds === undefined ? [] : await watch(context, options, watchSeconds);
    const nowMs = context.deps.clock.now();
    const findings = judgeBundleEndpoint({ ...observed, later, nowMs }).map((finding) => ({
      ...finding,
      seen: printable(finding.seen),
    }));
    const failed = findings.filter(({ outcome }) => outcome === 'fail').length;
    const shown = { url: options.url.href, profile: expected.profile, conforms: failed === 0, findings };
    print(context, shown, (wide) => table(findings, COLUMNS, wide));
    return failed === 0 ? EXIT.ok : EXIT.problems;
  },
};

interface CheckRequest {
  readonly options: ProbeOptions;
  readonly expected: ExpectedEndpoint;
  readonly watchSeconds: number | undefined;
}

async function requestOf(context: VerbContext): Promise<CheckRequest> {
  const { given, deps } = context;
  const [subject, text = ''] = given.operands;
  if (subject !== 'bundle-endpoint') throw usage(`expected bundle-endpoint, found ${JSON.stringify(subject)}`);
  const read = readEndpointUrl(text);
  if (read.kind === 'problem') throw usage(`${read.message}, in ${JSON.stringify(text)}`);
  const written = given.required('profile');
  const profile = (['https_web', 'https_spiffe'] as const).find((known) => known === written);
  if (profile === undefined)
    throw usage(`expected --profile https_web or https_spiffe, found ${JSON.stringify(written)}`);
  const foreign = profile === 'https_web' ? ['spiffe-id', 'bundle'] : ['ca'];
  for (const name of foreign) if (given.text(name) !== undefined) throw usage(`--${name} is not for ${profile}`);
  const trustDomain = asked(() => parseTrustDomain(given.required('trust-domain')));
  const id = given.text('spiffe-id');
  const spiffeId = id === undefined ? undefined : asked(() => parseSpiffeId(id));
  if (spiffeId !== undefined && trustDomainOf(spiffeId) !== trustDomain && given.text('bundle') === undefined)
    throw usage(`expected --bundle FILE, the bundle of ${trustDomainOf(spiffeId)} that vouches for ${spiffeId}`);
  const watchSeconds = secondsOf(given, 'watch');
  if (watchSeconds !== undefined && watchSeconds > WATCH_SECONDS_MAX) throw usage('expected --watch of at most 24h');
  const bundle = await fileOf(context, 'bundle');
  const ca = await fileOf(context, 'ca');
  const { clock } = deps;
  return {
    options: {
      url: read.url,
      authorities: ca === undefined ? undefined : [ca.toString('utf8')],
      signal: new AbortController().signal,
      clock,
    },
    expected: { profile, trustDomain, spiffeId, bundle, nowMs: clock.now() },
    watchSeconds,
  };
}

async function watch(context: VerbContext, options: ProbeOptions, seconds: number): Promise<readonly Visit[]> {
  const { clock } = context.deps;
  const intervalMs = Math.max(WATCH_INTERVAL_MS_MIN, (seconds * 1000) / LATER_VISITS_MAX);
  const endMs = clock.monotonic() + seconds * 1000;
  const later: Visit[] = [];
  while (later.length < LATER_VISITS_MAX && clock.monotonic() < endMs) {
    await pause(context, intervalMs);
    const visit = (await visitAll(options)).at(-1);
    if (visit !== undefined) later.push(visit);
  }
  return later;
}

function pause(context: VerbContext, delayMs: number): Promise<void> {
  return sleep(context.deps.clock, delayMs, new AbortController().signal);
}

async function fileOf({ given, io }: VerbContext, name: string): Promise<Buffer | undefined> {
  const path = given.text(name);
  if (path === undefined) return undefined;
  try {
    return await readFile(resolve(io.cwd, path));
  } catch (cause) {
    const message = `expected a file for --${name}: ${messageOf(cause)}`;
    throw new JumpgateError('check-file', message, { source: 'caller', cause });
  }
}

function asked<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw usage(messageOf(error));
  }
}
