/** `explain`, asked of YAML alone and of running gateways on both sides, against what real calls get. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { type Explanation, type ExplainRequest, type LinkStatus } from '../../gateway/admin/operations.ts';
import {
  exported,
  federate,
  GatewayProcess,
  imported,
  jumpgate,
  mesh,
  MeshDirectory,
  portsOf,
  until,
} from '../support/gateway-process.ts';
import { call, EchoClient, grpcService, http1Service } from '../support/sample-services.ts';

const CALLERS = ['/ns/shop/sa/web', '/ns/shop/sa/batch', '/ns/lab/sa/probe'] as const;
const WEB = 0;
const BATCH = 1;
const PROBE = 2;
const GRPC_CODES: Readonly<Record<number, string>> = { 403: '7', 404: '5' };

interface Case {
  readonly name: string;
  readonly caller: number;
  readonly to: 'orders' | 'hidden' | 'echo';
  readonly method?: string;
  readonly path?: string;
  readonly grpc?: string;
  /** What the first side to refuse says, or `permit`. */
  readonly outcome: 'permit' | 'denied-by-import' | 'denied-by-export';
}

const CASES: readonly Case[] = [
  { name: 'a path and a method that the rule names', caller: WEB, to: 'orders', path: '/orders/1', outcome: 'permit' },
  {
    name: 'the query is no part of the path',
    caller: WEB,
    to: 'orders',
    path: '/orders/1?x=/../admin',
    outcome: 'permit',
  },
  {
    name: 'another method',
    caller: WEB,
    to: 'orders',
    method: 'DELETE',
    path: '/orders/1',
    outcome: 'denied-by-export',
  },
  { name: 'another path', caller: WEB, to: 'orders', path: '/admin', outcome: 'denied-by-export' },
  { name: 'the root of a ** pattern', caller: WEB, to: 'orders', path: '/ordersX', outcome: 'denied-by-export' },
  {
    name: 'the second rule, for another caller',
    caller: BATCH,
    to: 'orders',
    method: 'POST',
    path: '/bulk',
    outcome: 'permit',
  },
  { name: 'a rule of another caller', caller: BATCH, to: 'orders', path: '/orders/1', outcome: 'denied-by-export' },
  {
    name: 'a caller that the importer does not let use it',
    caller: PROBE,
    to: 'orders',
    path: '/orders/1',
    outcome: 'denied-by-import',
  },
  { name: 'a gRPC method that the rule names', caller: WEB, to: 'echo', grpc: 'test.Echo/Say', outcome: 'permit' },
  {
    name: 'a gRPC method that it does not name',
    caller: WEB,
    to: 'echo',
    grpc: 'test.Echo/Shout',
    outcome: 'denied-by-export',
  },
  {
    name: 'a gRPC caller that the importer refuses',
    caller: PROBE,
    to: 'echo',
    grpc: 'test.Echo/Say',
    outcome: 'denied-by-import',
  },
];

/** One question to YAML alone, by the command line. */
async function offline(directory: string, words: readonly string[]): Promise<Explanation> {
  const { code, stdout, stderr } = await jumpgate(['explain', '-f', directory, ...words, '--offline', '-o', 'json']);
  const explanation = JSON.parse(stdout || '{}') as Explanation & { readonly source: string };
  assert.equal(explanation.source, 'yaml', `${words.join(' ')}: ${stdout}${stderr}`);
  assert.equal(code, explanation.verdict === 'permit' ? 0 : 1);
  return explanation;
}

/** One question to a running gateway. */
async function live(gateway: GatewayProcess, question: ExplainRequest): Promise<Explanation> {
  return (await gateway.ask('/v1/explain', { ...question })) as Explanation;
}

/** `file:line:column` stands in a file that exists, at a line that exists. */
function assertOrigin({ origin }: Explanation): void {
  const [, file, line] = /^(.+):(\d+):\d+$/.exec(origin ?? '') ?? [];
  assert.ok(file !== undefined && Number(line) <= readFileSync(file, 'utf8').split('\n').length, String(origin));
}

test('explain agrees with real calls on both sides, live and from YAML alone, and names rule and place', async () => {
  await using orders = await http1Service();
  await using echo = await grpcService();
  const who = 'spiffe://east.example/ns/shop/sa/*';
  const forWeb = 'peers: [east], who: ["spiffe://east.example/ns/shop/sa/web"]';
  using here = new MeshDirectory({
    'mesh.yaml': mesh('east', { callers: CALLERS }),
    'a.yaml': imported('orders', 'west', 'orders', who),
    'b.yaml': imported('echo', 'west', 'echo', who),
  });
  using there = new MeshDirectory({
    'mesh.yaml': mesh('west'),
    'a.yaml': exported(
      'orders',
      'http1',
      orders.port,
      `{ ${forWeb}, what: { http: [{ methods: [GET], paths: [/orders/**] }] } }, ` +
        '{ peers: [east], who: ["spiffe://east.example/ns/shop/sa/batch"], what: { http: [{ methods: [POST], paths: [/bulk] }] } }',
    ),
    'b.yaml': exported('echo', 'grpc', echo.port, `{ ${forWeb}, what: { grpc: [test.Echo/Say] } }`),
  });
  await using east = new GatewayProcess(here.path);
  await using west = new GatewayProcess(there.path);
  await federate(east, west);
  // YAML alone knows a peer only if YAML declares it: the joined peer is adopted.
  const { jump, bundle } = portsOf(await east.status());
  there.write(
    'peer.yaml',
    `apiVersion: jumpgate.dev/v1alpha1\nkind: Peer\nmetadata: { name: east }\nspec: { trustDomain: east.example, gateways: ["127.0.0.1:${jump}"], bundleEndpoint: { url: "https://127.0.0.1:${bundle}/", profile: https_spiffe, spiffeId: "spiffe://east.example/jumpgate" } }\n`,
  );
  for (const name of ['orders', 'echo']) await east.importIs(name, 'active');
  const linkIds = async (): Promise<readonly string[]> =>
    ((await west.ask('/v1/links')) as readonly LinkStatus[])
      .map(({ direction, since }) => `${direction} ${since}`)
      .sort();
  await until('two links each way to be up', async () => (await linkIds()).length === 4);
  const links = await linkIds();
  await west.command('reload');
  const [adopted] = (await west.status()).peers;
  assert.deepEqual([adopted?.origin, adopted?.state], ['adopted', 'active'], 'adopting a peer does not part from it');
  assert.deepEqual(await linkIds(), links);

  for (const one of CASES) {
    const listener = await east.address(`outbound[${one.caller}]`);
    const host = `${one.to}.west.mesh.internal`;
    const { path = '/', method = 'GET' } = one;
    const words = one.grpc === undefined ? ['--method', method, '--path', path] : ['--grpc', one.grpc];
    const facts = one.grpc === undefined ? { method, path } : { path: `/${one.grpc}`, grpc: true };
    const from = `spiffe://east.example${CALLERS[one.caller] ?? ''}`;
    const [importSide, exportSide, importYaml, exportYaml] = await Promise.all([
      live(east, { from, to: host, ...facts }),
      live(west, { from, to: one.to, ...facts }),
      offline(here.path, ['--from', from, '--to', host, ...words]),
      offline(there.path, ['--from', from, '--to', one.to, ...words]),
    ]);
    for (const [running, yaml] of [
      [importSide, importYaml],
      [exportSide, exportYaml],
    ] as const) {
      assert.deepEqual(
        [running.verdict, running.reason, running.rule, running.origin, running.status],
        [yaml.verdict, yaml.reason, yaml.rule, yaml.origin, yaml.status],
        one.name,
      );
      assertOrigin(running);
      assert.notEqual(running.otherSide, '');
    }
    const first = importSide.verdict === 'denial' ? importSide : exportSide;
    assert.equal(first.verdict === 'permit' ? 'permit' : first.reason, one.outcome, one.name);
    if (one.grpc === undefined) {
      const answer = await call(listener, host, { method: one.method ?? 'GET', path: one.path ?? '/' });
      assert.equal(answer.status, first.status ?? 200, one.name);
      assert.equal(answer.reason, first.reason ?? undefined, one.name);
    } else {
      using client = new EchoClient(listener, host);
      const answer = await client.say('word', one.grpc.split('/')[1]);
      if (first.verdict === 'permit') assert.match(answer, /^word for /, one.name);
      else assert.match(answer, new RegExp(`^${GRPC_CODES[first.status ?? 0]}: `), one.name);
    }
  }
  // An export that does not show itself to a caller is, to it, no export at all.
  const nobody = await live(west, { from: 'spiffe://other.example/x', to: 'orders', path: '/orders/1' });
  assert.deepEqual([nobody.verdict, nobody.reason], ['denial', 'no-route']);
  const web = `spiffe://east.example${CALLERS[WEB]}`;
  const nothing = await live(east, { from: web, to: 'ghost.west.mesh.internal' });
  const ghost = await call(await east.address('outbound[0]'), 'ghost.west.mesh.internal');
  assert.deepEqual([nothing.verdict, nothing.reason, nothing.status], ['denial', ghost.reason, ghost.status]);
  // The command line asks the running gateway where there is one.
  const question = ['--from', web, '--to', 'orders.west.mesh.internal', '--path', '/orders/1', '-o', 'json'];
  const permit = await east.run('explain', question);
  assert.deepEqual([permit.code, (JSON.parse(permit.stdout) as { source: string }).source], [0, 'gateway']);
  const denial = await west.run('explain', ['--from', web, '--to', 'orders', '--path', '/admin', '--live']);
  assert.equal(denial.code, 1);
  assert.match(denial.stdout, /verdict +denial[^]*where +\S+a\.yaml:\d+:\d+/);
});

test('explain from YAML alone does not know joined peers, and says that it did not ask a gateway', async () => {
  using there = new MeshDirectory({
    'mesh.yaml': mesh('west'),
    'a.yaml': exported(
      'orders',
      'http1',
      1,
      '{ peers: [east], who: ["spiffe://east.example/**"], what: { http: [{ methods: [GET], paths: [/**] }] } }',
    ),
  });
  const words = ['explain', '-f', there.path, '--from', 'spiffe://east.example/web', '--to', 'orders', '--path', '/'];
  const { code, stderr } = await jumpgate(words);
  assert.equal(code, 1);
  assert.match(stderr, /no gateway answers/);
  assert.equal((await jumpgate([...words, '--live'])).code, 3);
  assert.equal(
    (await jumpgate(['explain', '-f', join(there.path, 'nowhere'), '--from', 'spiffe://a/b', '--to', 'c', '--offline']))
      .code,
    2,
  );
});
