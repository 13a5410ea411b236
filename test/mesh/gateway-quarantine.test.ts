/** Distrust at real gateways of two workers each: what is meant is gone within seconds everywhere, and nothing else. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { GatewayProcess, until } from '../support/gateway-process.ts';
import { allLinks, cutWithin, echoing, livePair, type LivePair, type LiveStream } from '../support/live-streams.ts';
import { call } from '../support/sample-services.ts';

const HOST = 'svc.west.mesh.internal';
const WEB = 'spiffe://east.example/web';

async function answers(pair: LivePair, caller: 'web' | 'good', times = 8): Promise<Readonly<Record<string, number>>> {
  const listener = await pair.listener(caller);
  const seen: Record<string, number> = {};
  // Each on a connection of its own, so that every worker is asked.
  for (let turn = 0; turn < times; turn += 1) {
    const { status, body } = await call(listener, HOST);
    const what = `${status} ${/^[a-z-]+/.exec(body)?.[0] ?? ''}`.trim();
    seen[what] = (seen[what] ?? 0) + 1;
  }
  return seen;
}

function loggedReasons(gateway: GatewayProcess, ...parts: readonly string[]): number {
  const lines = readFileSync(join(gateway.directory, 'access.log'), 'utf8').split('\n');
  return lines.filter((line) => line.includes('"reason":"quarantined"') && parts.every((part) => line.includes(part)))
    .length;
}

async function metric(gateway: GatewayProcess, line: RegExp): Promise<string | undefined> {
  const response = await fetch(`http://${await gateway.address('status')}/metrics`);
  return line.exec(await response.text())?.[1];
}

/** Victims lose everything, innocents nothing, and who was refused is told, logged and counted so; then all is as before. */
async function callerLosesItsStreams(pair: LivePair, side: 'east' | 'west'): Promise<void> {
  const gateway = pair[side];
  const denials = /jumpgate_authz_decisions_total\{[^}]*export="svc"[^}]*reason="quarantined"\} (\d+)/;
  const before = loggedReasons(gateway);
  const counted = Number((await metric(gateway, denials)) ?? 0);
  const [victims, innocents] = [await pair.open('web'), await pair.open('good')];
  assert.deepEqual([await echoing(victims), await echoing(innocents)], [12, 12]);
  await cutWithin(
    () => gateway.command('quarantine', ['add', WEB, '--reason', 'token leaked', '--for', '2h']),
    victims,
  );
  assert.equal(await echoing(innocents), 12);
  assert.doesNotMatch(pair.east.stderr + pair.west.stderr, /closed that no longer verif/, 'the links stay');
  assert.deepEqual(
    [await answers(pair, 'web'), await answers(pair, 'good')],
    [{ '403 quarantined': 8 }, { '200 ok': 8 }],
  );
  await until('every victim to be logged', () => loggedReasons(gateway, `"caller":"${WEB}"`) === before + 12 + 8);
  assert.equal(loggedReasons(gateway), before + 12 + 8, 'and nobody else');
  assert.equal(await metric(gateway, /jumpgate_quarantine_entries\{kind="spiffe"\} (\d+)/), '1');
  assert.equal(await metric(gateway, denials), String(counted + 4 + 8));
  assert.match(
    await gateway.command('quarantine'),
    /^KIND +NAME +SINCE +UNTIL +REASON\nspiffe +spiffe:\/\/east\.example\/web +\S+ +\S+Z +token leaked\n$/,
  );
  assert.match(gateway.stderr, /"message":"quarantined","kind":"spiffe"/);
  assert.match(gateway.stderr, /"action":"quarantine-add","subject":"spiffe spiffe:[^"]*","remote":"unix"/);
  await gateway.command('quarantine', ['remove', WEB]);
  assert.deepEqual(await answers(pair, 'web'), { '200 ok': 8 });
  assert.equal(await echoing(innocents), 12);
}

test('A32: a quarantined caller loses its own streams on all workers within 5 s, at home and at the peer, others none on the same links; a removed peer loses all', async () => {
  await using held = new AsyncDisposableStack();
  const pair = await livePair(held);
  await callerLosesItsStreams(pair, 'west');
  await callerLosesItsStreams(pair, 'east');
  const { west } = pair;
  const streams = await pair.open('web');
  const [meant, others] = [
    streams.filter(({ kind }) => kind === 'stream'),
    streams.filter(({ kind }) => kind !== 'stream'),
  ];
  await cutWithin(() => west.command('quarantine', ['add', 'export', 'svc']), meant);
  assert.equal(await echoing(others), 8, 'of other exports');
  assert.deepEqual(await answers(pair, 'good'), { '403 quarantined': 8 });
  await west.command('quarantine', ['remove', 'export', 'svc']);
  assert.deepEqual(await answers(pair, 'good'), { '200 ok': 8 });
  const everything = [...(await pair.open('web')), ...(await pair.open('good')), ...others];
  await cutWithin(() => west.command('peers', ['remove', 'east']), everything);
  assert.ok(!('200 ok' in (await answers(pair, 'good'))));
});

test('A32: a quarantined peer, domain or key loses links, calls and tunnels on all workers within 5 s, also after kill -9', async () => {
  await using held = new AsyncDisposableStack();
  const pair = await livePair(held, 0);
  const { east, west } = pair;
  const everything = async (): Promise<readonly LiveStream[]> => [
    ...(await pair.open('web')),
    ...(await pair.open('good')),
  ];
  const linksOf = async (): Promise<number> => ((await west.ask('/v1/links')) as readonly unknown[]).length;
  const quarantined = async (): Promise<readonly string[]> =>
    (await west.status()).conditions.flatMap(({ type, message }) => (type === 'Quarantined' ? [message] : []));
  const back = async (): Promise<void> => {
    await allLinks(east, 0);
    await allLinks(west, 2);
    assert.deepEqual(await answers(pair, 'web'), { '200 ok': 8 });
  };
  const bundles = JSON.parse(await west.command('bundles', ['-o', 'json'])) as readonly {
    readonly peer: string;
    readonly authorities: readonly { readonly fingerprint: string }[];
  }[];
  const root = bundles.find(({ peer }) => peer === 'east')?.authorities[0]?.fingerprint ?? assert.fail('no root');
  for (const target of [
    ['peer', 'east'],
    ['domain', 'east.example'],
    ['key', root],
  ]) {
    await cutWithin(() => west.command('quarantine', ['add', ...target]), await everything());
    assert.equal(await linksOf(), 0);
    const why = `calls and links are refused by hand, see jumpgate quarantine: 1 of kind ${target[0]}`;
    assert.deepEqual(await quarantined(), [why]);
    assert.ok(!('200 ok' in (await answers(pair, 'good'))));
    if (target[0] === 'key') break;
    await west.command('quarantine', ['remove', ...target]);
    assert.deepEqual(await quarantined(), []);
    await back();
  }
  const [{ name: key = '' } = {}] = JSON.parse(await west.command('quarantine', ['-o', 'json'])) as { name?: string }[];
  assert.notEqual(key, root, 'a root stands for its key');
  await west.kill('SIGKILL');
  const again = held.use(new GatewayProcess(west.directory));
  const ports = await again.ready();
  assert.ok(ports.peers.length === 1);
  assert.match(await again.command('quarantine'), new RegExp(`key +${key} `));
  await again.until('to be refused', ({ conditions }) =>
    conditions.some(({ message }) => message.includes('key-tainted')),
  );
  assert.equal(((await again.ask('/v1/links')) as readonly unknown[]).length, 0);
  await again.command('quarantine', ['remove', 'key', root]);
});
