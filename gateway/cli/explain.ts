/** `jumpgate explain`: what a call would get and why, from a running gateway or from YAML alone. */
import { formatProblem } from '../../base/config/problem.ts';
import { codeOf, JumpgateError } from '../../base/errors.ts';
import { type ExplainedSnapshot } from '../../federation/policy/explain.ts';
import { loadResources } from '../../federation/resources/load.ts';
import { assignHosts } from '../../federation/snapshot/hosts.ts';
import { type ExplainRequest } from '../admin/operations.ts';
import { describeCall } from '../admin/operations-explain.ts';
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { cell, formatOf, memberOf, print } from './output.ts';
import { NO_DISTRUST } from '../../trust-bundles/distrust/distrust.ts';
import { directoryOf, type Given, LIVE_OPTIONS, usage, type Verb, type VerbContext } from './verb.ts';

/** Explains a call without making it. */
export const explainVerb: Verb = {
  name: 'explain',
  summary: 'say whether a call is allowed, and which rule says so',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: {
    ...LIVE_OPTIONS,
    from: { argument: 'ID', help: 'SPIFFE ID of the caller' },
    to: { argument: 'NAME', help: 'an export, an import, or a host name of an import' },
    method: { argument: 'METHOD', help: 'HTTP method; default GET; for a tcp or tls service give none' },
    path: { argument: 'PATH', help: 'default /' },
    grpc: { argument: 'SERVICE/METHOD', help: 'a gRPC call instead, such as payments.v1.Payments/Charge' },
    as: { argument: 'SIDE', help: 'export or import, where both have the name' },
    live: { help: 'from the running gateway only' },
    offline: { help: 'from the YAML of -f only' },
  },
  details: [
    'With -f DIR alone the running gateway is asked; if none answers, the YAML decides, which does not know joined peers.',
    'Exit code 0 is a permit, 1 a denial.',
  ],
  run: async (context) => {
    formatOf(context);
    const request = requestOf(context.given);
    const { source, explanation } = await explain(context, request);
    print(context, { source, ...explanation }, () => inWords(source, explanation));
    return explanation['verdict'] === 'permit' ? EXIT.ok : EXIT.problems;
  },
};

interface Explained {
  readonly source: 'gateway' | 'yaml';
  readonly explanation: Readonly<Record<string, unknown>>;
}

async function explain(context: VerbContext, request: ExplainRequest): Promise<Explained> {
  const { given, io } = context;
  if (given.flag('live') && given.flag('offline')) throw usage('give --live or --offline, not both');
  if (given.flag('offline')) return fromDocuments(context, request);
  try {
    const answer = await (await openClient(context)).ask('POST', '/v1/explain', { ...request });
    return {
      source: 'gateway',
      explanation: Object.fromEntries(MEMBERS.map((name) => [name, memberOf(answer, name)])),
    };
  } catch (error) {
    const yamlWillDo = !given.flag('live') && given.text('admin') === undefined && given.text('file') !== undefined;
    if (!yamlWillDo || codeOf(error) !== 'gateway-unreachable') throw error;
    io.stderr.write('no gateway answers: explained from YAML alone, without joined peers\n');
    return fromDocuments(context, request);
  }
}

const MEMBERS = [
  'verdict',
  'side',
  'from',
  'to',
  'peer',
  'reason',
  'message',
  'rule',
  'origin',
  'status',
  'otherSide',
] as const;

async function fromDocuments(context: VerbContext, request: ExplainRequest): Promise<Explained> {
  const loaded = await loadResources(directoryOf(context), { referencedFiles: false });
  if (loaded.kind === 'problems')
    throw new JumpgateError('config-invalid', loaded.problems.map(formatProblem).join('\n'), { source: 'config' });
  const { set } = loaded;
  const { hosts } = assignHosts(set.imports);
  const domains = new Map(set.peers.map(({ name, spec }) => [name, spec.trustDomain]));
  const snapshot: ExplainedSnapshot = {
    trustDomain: set.mesh.spec.trustDomain,
    distrust: NO_DISTRUST,
    peers: new Map(set.peers.map(({ name, spec }) => [name, { name, trustDomain: spec.trustDomain }])),
    exports: new Map(
      set.exports.map(({ name, spec, origin }) => [name, { name, allow: spec.allow, protocol: spec.protocol, origin }]),
    ),
    imports: new Map(
      set.imports.map(({ name, spec, origin }) => [
        name,
        // YAML alone cannot know what the peer exports; the text on the other side says so for `awaiting`.
        {
          name,
          origin,
          who: spec.who,
          peer: spec.peer,
          peerTrustDomain: domains.get(spec.peer),
          export: spec.export,
          hosts: hosts.get(name) ?? [],
          state: 'awaiting',
          // Only connections reach an import by a listener of its own; policy judges those of tcp and tls alike.
          protocol: spec.listen === undefined ? undefined : 'tcp',
        },
      ]),
    ),
  };
  return { source: 'yaml', explanation: { ...describeCall(snapshot, request) } };
}

function requestOf(given: Given): ExplainRequest {
  const grpc = given.text('grpc');
  const side = given.text('as');
  const direction = (['export', 'import'] as const).find((known) => known === side);
  if (side !== undefined && direction === undefined)
    throw usage(`expected --as export or import, found ${JSON.stringify(side)}`);
  if (grpc !== undefined && (given.text('path') ?? given.text('method')) !== undefined)
    throw usage('--grpc stands for method and path: give it alone');
  const method = grpc === undefined ? given.text('method') : 'POST';
  const path = grpc === undefined ? given.text('path') : `/${grpc.replace(/^\//, '')}`;
  if (path?.startsWith('/') === false) throw usage(`expected --path to begin with /, found ${JSON.stringify(path)}`);
  return {
    from: given.required('from'),
    to: given.required('to'),
    ...(direction === undefined ? {} : { direction }),
    ...(method === undefined ? {} : { method }),
    ...(path === undefined ? {} : { path }),
    grpc: grpc !== undefined,
  };
}

function inWords(source: string, explanation: Readonly<Record<string, unknown>>): string {
  const rows = [
    [
      'verdict',
      `${cell(explanation['verdict'])} (${cell(explanation['side'])} side, from ${source === 'gateway' ? 'the running gateway' : 'YAML alone'})`,
    ],
    ['rule', explanation['rule']],
    ['where', explanation['origin']],
    ['reason', explanation['reason']],
    ['status', explanation['status']],
    ['because', explanation['message']],
    ['then', explanation['otherSide']],
  ] as const;
  return rows
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name.padEnd(8)} ${cell(value)}\n`)
    .join('');
}
