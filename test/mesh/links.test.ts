/** Links and control streams between two gateways, over real TLS. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { askSmall, type SmallAnswer } from '../../gateway/link/small-body.ts';
import { compileDistrust } from '../../trust-bundles/distrust/distrust.ts';
import { keyFingerprintOf, readCertificate } from '../../trust-bundles/x509/certificate.ts';
import { startGateway, until, type TestGateway } from '../support/gateways.ts';
import { testDomain } from '../support/trust.ts';

async function twoPeers(): Promise<AsyncDisposable & { us: TestGateway; eu: TestGateway }> {
  const us = await startGateway('us.example');
  const eu = await startGateway('eu.example');
  us.peerWith(eu, 'eu');
  eu.peerWith(us, 'us');
  const end = async (): Promise<void> => {
    await us[Symbol.asyncDispose]();
    await eu[Symbol.asyncDispose]();
  };
  return { us, eu, [Symbol.asyncDispose]: end };
}

const linksUp = async (us: TestGateway, eu: TestGateway): Promise<void> => {
  await until('two links each way', () => us.pool.all().length === 2 && eu.pool.all().length === 2);
};

test('two registered gateways hold linksPerPeer links each way, and each knows the other by its hello', async () => {
  await using both = await twoPeers();
  const { us, eu } = both;
  await linksUp(us, eu);
  assert.deepEqual(us.pool.instancesOf('eu'), ['eu-1']);
  assert.deepEqual(
    us.listener.links().map((link) => [link.peer.name, link.instance]),
    [
      ['eu', 'eu-1'],
      ['eu', 'eu-1'],
    ],
  );
});

test('a call crosses a link to the other gateway, named after the link it came over', async () => {
  await using both = await twoPeers();
  const { us, eu } = both;
  await linksUp(us, eu);
  const ask = (authority: string): Promise<SmallAnswer> => {
    const link = us.pool.pick('eu', []);
    assert.ok(link !== undefined);
    const signal = AbortSignal.timeout(20_000);
    return askSmall(link, { method: 'GET', authority, path: '/x' }, { bytesMax: 1024, signal });
  };
  const answer = ask('payments.eu.example');
  await until('the call to arrive', () => eu.calls.length === 1);
  const arrived = eu.calls[0];
  assert.equal(arrived?.link.peer.name, 'us');
  assert.equal(arrived.link.calls > 0, true);
  assert.equal(arrived.head.authority.value, 'payments.eu.example');
  arrived.stream.respond({ status: 204, fields: [] }, true);
  assert.equal((await answer).status, 204);
  for (const reserved of ['other.jumpgate', 'OTHER.jumpgate.:443', 'hello.jumpgate']) {
    assert.equal((await ask(reserved)).status, 404, reserved);
  }
  assert.equal(eu.calls.length, 1);
});

test('a link gives the bundle of its gateway, and only that, at bundle.jumpgate', async () => {
  await using both = await twoPeers();
  const { us, eu } = both;
  await linksUp(us, eu);
  const link = us.pool.pick('eu', []);
  assert.ok(link !== undefined);
  const limits = { bytesMax: 1024, signal: AbortSignal.timeout(20_000) };
  const ask = (path: string): Promise<SmallAnswer> =>
    askSmall(link, { method: 'GET', authority: 'bundle.jumpgate', path }, limits);
  const answer = await ask('/');
  assert.deepEqual([answer.status, Buffer.from(answer.body).toString()], [200, '{"keys":[]}']);
  assert.equal((await ask('/other')).status, 404);
});

test('a peer that was away when it was removed learns at its next dial that this may be why nothing works', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  us.peerWith(eu, 'eu');
  await until('the dial to fail', () => us.dialer.failures().length > 0);
  const [failure] = us.dialer.failures();
  assert.deepEqual([failure?.peer, failure?.code], ['eu', 'hello']);
  assert.match(failure?.message ?? '', /the peer may have removed this mesh/);
  eu.peerWith(us, 'us');
  await until('links, and no failure any more', () => us.pool.all().length === 2 && us.dialer.failures().length === 0);
});

test('a peer that dials us is dialled at once, however long the next attempt would have waited', async () => {
  const never = { minMs: 600_000, maxMs: 600_000 };
  await using us = await startGateway('us.example', {}, systemClock, never);
  await using eu = await startGateway('eu.example');
  us.peerWith(eu, 'eu');
  // Nobody has told eu of us yet.
  await until(
    'both dials to have failed',
    () => us.dialer.failures().length === 1 && us.dialer.failures()[0]?.code === 'hello',
  );
  eu.peerWith(us, 'us');
  await until('two links each way', () => us.pool.all().length === 2 && eu.pool.all().length === 2);
});

test('exports reach the peer over the control stream, and so do changes and withdrawals', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  eu.exports = [{ name: 'payments', protocol: 'grpc' }];
  us.peerWith(eu, 'eu');
  eu.peerWith(us, 'us');
  const names = (): string[] => [...(us.catalogues.get('eu')?.entries.keys() ?? [])];
  await until('payments at us', () => names().join() === 'payments');
  await until(
    'active both ways',
    () => us.supervisor.status('eu')?.state === 'active' && eu.supervisor.status('us')?.state === 'active',
  );
  eu.exports = [
    { name: 'payments', protocol: 'http2' },
    { name: 'orders', protocol: 'http1' },
  ];
  await until(
    'both at us',
    () => names().length === 2 && us.catalogues.get('eu')?.entries.get('payments')?.protocol === 'http2',
  );
  // An entry that is refused delays no other, and is counted where it came from.
  eu.exports = [
    { name: 'localhost', protocol: 'http1' },
    { name: 'orders', protocol: 'http1' },
  ];
  await until('the refusal at eu', () => eu.supervisor.counts('us').nacks.get('name-refused') === 1);
  await until('the good one at us', () => names().includes('orders') && !names().includes('payments'));
  assert.deepEqual(
    us.supervisor.status('eu')?.quarantined.map(({ entry }) => entry),
    ['localhost'],
  );
  assert.ok(eu.supervisor.counts('us').acks >= 2);
  eu.exports = [];
  await until('none at us', () => us.catalogues.get('eu')?.complete === true && names().length === 0);
  assert.deepEqual([...(eu.catalogues.get('us')?.entries.keys() ?? [])], []);
});

test('a peer that is removed loses its links and its control stream at once, on both sides', async () => {
  await using both = await twoPeers();
  const { us, eu } = both;
  await linksUp(us, eu);
  await until('active', () => us.supervisor.status('eu')?.state === 'active');
  us.unpeer('eu');
  await until(
    'no link',
    () => us.pool.all().length === 0 && us.listener.links().length === 0 && eu.pool.all().length === 0,
  );
  assert.equal(us.supervisor.status('eu'), undefined);
  await until('refused at the other side', () => eu.dialer.failures().length > 0);
});

test('a new SVID replaces links without a moment in which there is none', async () => {
  await using both = await twoPeers();
  const { us, eu } = both;
  await linksUp(us, eu);
  const before = new Set(us.pool.all());
  us.svid.rotate(us.domain.svid('/jumpgate'));
  await until('new links', () => {
    assert.notEqual(us.pool.pick('eu', []), undefined);
    return us.pool.all().length === 2 && us.pool.all().every((link) => !before.has(link));
  });
});

test('links whose chain is no longer vouched for are closed at once', async () => {
  await using both = await twoPeers();
  const { us, eu } = both;
  await linksUp(us, eu);
  const { bundles } = us.snapshots.current();
  us.snapshots.set({ bundles: new Map([...bundles].filter(([domain]) => domain !== eu.domain.trustDomain)) });
  assert.equal(us.listener.links().length, 0);
  await until('closed', () => us.pool.all().length === 0 && eu.pool.all().length === 0);
});

test('I9: links are closed at once when the bundle is empty, or has lost the key that vouched for them', async () => {
  for (const x509Authorities of [[], testDomain('eu.example').bundle.x509Authorities]) {
    await using both = await twoPeers();
    const { us, eu } = both;
    await linksUp(us, eu);
    const less = { ...eu.domain.bundle, x509Authorities, sequence: 2n };
    us.snapshots.set({ bundles: new Map([...us.snapshots.current().bundles, [eu.domain.trustDomain, less]]) });
    assert.deepEqual([us.listener.links().length, us.pool.all().every((link) => link.leaving)], [0, true]);
    await until('closed', () => us.pool.all().length === 0 && eu.pool.all().length === 0);
    await until('refused', () => us.dialer.failures().some(({ code }) => code === 'untrusted'));
  }
});

test('links whose key is tainted are closed at once, and none comes in their place', async () => {
  await using both = await twoPeers();
  const { us, eu } = both;
  await linksUp(us, eu);
  const root = readCertificate(eu.domain.root.certificate);
  us.snapshots.set({ tainted: new Set([keyFingerprintOf(root)]) });
  assert.equal(us.listener.links().length, 0);
  await until('closed', () => us.pool.all().length === 0 && eu.pool.all().length === 0);
  await until('refused', () => us.dialer.failures().some(({ message }) => message.includes('key-tainted')));
});

test('A32: links of a quarantined peer, domain or gateway are closed at once, none comes in their place, and they come back', async () => {
  await using both = await twoPeers();
  const { us, eu } = both;
  for (const target of [
    { kind: 'peer', name: 'eu' },
    { kind: 'domain', name: 'eu.example' },
    { kind: 'spiffe', name: 'spiffe://eu.example/jumpgate' },
  ] as const) {
    await linksUp(us, eu);
    us.snapshots.set({ distrust: compileDistrust([target]) });
    assert.deepEqual([us.listener.links().length, us.pool.all().every((link) => link.leaving)], [0, true]);
    await until('closed', () => us.pool.all().length === 0 && eu.pool.all().length === 0);
    await until('refused', () => eu.dialer.failures().some(({ code }) => code === 'hello'));
    assert.deepEqual(us.dialer.failures(), [], 'nobody dials whom he refuses');
    us.snapshots.set({ distrust: compileDistrust([{ kind: 'spiffe', name: 'spiffe://eu.example/**' }]) });
  }
  await linksUp(us, eu);
});

test('another SVID of the peer, our own gateway ID and the ID of the peer from a foreign root get no link', async () => {
  await using both = await twoPeers();
  const { us, eu } = both;
  await linksUp(us, eu);
  for (const svid of [
    eu.domain.svid('/ns/shop/sa/web'),
    us.domain.svid('/jumpgate'),
    testDomain('eu.example').svid('/jumpgate'),
  ]) {
    for (const link of eu.pool.all()) link.destroy();
    eu.svid.rotate(svid);
    await until(
      'a refused dial',
      () => eu.pool.all().length === 0 && eu.dialer.failures().some((failure) => failure.code === 'hello'),
    );
    assert.deepEqual(us.listener.links(), []);
    eu.svid.rotate(eu.domain.svid('/jumpgate'));
    await until('links again', () => eu.pool.all().length === 2 && eu.dialer.failures().length === 0);
  }
});

test('gateways without a common version close the link, and the dialler says so', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example', { versions: { min: 2, max: 3 } });
  us.peerWith(eu, 'eu');
  eu.peerWith(us, 'us');
  await until('failures', () => us.dialer.failures().length > 0 && eu.dialer.failures().length > 0);
  assert.equal(us.dialer.failures()[0]?.code, 'version');
  assert.match(us.dialer.failures()[0]?.message ?? '', /expected a link version of 1 to 1, found 2 to 3/);
  assert.deepEqual(us.pool.all(), []);
});
