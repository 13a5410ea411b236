/** Re-proof of a link against a peer that lies: whatever it states, the link ends with the SVID that was proved last. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { writeHello } from '../../gateway/link/hello.ts';
import { LinkProof } from '../../gateway/link/link-proof.ts';
import { askSmall, type SmallAnswer, type SmallQuestion } from '../../gateway/link/small-body.ts';
import { LINK_CONNECTION } from '../../gateway/http2/limits.ts';
import { type ConnectedHttp2, connectHttp2 } from '../../gateway/socket/http2-socket.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { connectMutualTls } from '../../trust-bundles/tls/connect.ts';
import { REPROOF_BYTES_MAX, writeReproof } from '../../trust-bundles/tls/reprove.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { issueSvid } from '../../trust-bundles/x509/issue.ts';
import { heldSvid, type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { startGateway, type TestGateway, until } from '../support/gateways.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { bundleMap, testDomain, trustIn } from '../support/trust.ts';

const FEATURES = { features: ['reprove'] };
const SVID_MS = 600_000;
const limits = { bytesMax: REPROOF_BYTES_MAX, signal: AbortSignal.timeout(60_000) };

/** An SVID of the gateway of `eu`, valid for ten minutes from now on. */
function freshSvid({ domain }: TestGateway, clock: ManualClock, path = '/jumpgate', ttlMs = SVID_MS): X509Svid {
  const id = parseSpiffeId(`spiffe://${domain.trustDomain}${path}`);
  return issueSvid({ root: domain.root, id, nowMs: clock.now(), ttlMs });
}

interface HostileLink {
  readonly http2: ConnectedHttp2;
  readonly proof: LinkProof;
  readonly ask: (json: string, change?: Partial<SmallQuestion>) => Promise<SmallAnswer>;
}

/** A link to `us` from one who has an SVID of the gateway of `eu`, and says what it likes. */
async function hostileLink(us: TestGateway, eu: TestGateway, clock: ManualClock): Promise<HostileLink> {
  const shown = freshSvid(eu, clock);
  const { socket, identity } = await connectMutualTls({
    host: '127.0.0.1',
    port: us.port,
    svid: { current: () => shown, watch: () => ({ [Symbol.dispose]: () => undefined }) },
    alpn: 'h2',
    verify: (chain) => verifySvid({ chain, trust: trustIn(us.domain), role: 'server', nowMs: clock.now() }),
    signal: limits.signal,
    clock: systemClock,
  });
  const http2 = connectHttp2(socket, { clock, limits: LINK_CONNECTION });
  const admit = (chain: readonly Uint8Array[]): ReturnType<typeof verifySvid> =>
    verifySvid({ chain, trust: trustIn(us.domain), role: 'server', nowMs: clock.now() });
  const proof = new LinkProof({ socket, role: 'client', identity, admit });
  const hello = { versions: { min: 1, max: 1 }, trustDomain: eu.domain.trustDomain, instance: 'eu-9', epoch: 1n };
  const json = writeHello({ ...hello, worker: 0, workers: 1, ...FEATURES });
  await askSmall(http2, { method: 'POST', authority: 'hello.jumpgate', path: '/hello', json }, limits);
  // A round trip, with which also SETTINGS are acknowledged.
  await http2.ping();
  const ask: HostileLink['ask'] = (statement, change) => {
    // What is faster than twice a second is refused unread, which has a test of its own.
    clock.advance(500);
    const question = { method: 'POST', authority: 'reprove.jumpgate', path: '/reprove', json: statement } as const;
    return askSmall(http2, { ...question, ...change }, limits);
  };
  return { http2, proof, ask };
}

interface Rig extends AsyncDisposable {
  readonly us: TestGateway;
  readonly eu: TestGateway;
  readonly clock: ManualClock;
}

async function rig(): Promise<Rig> {
  const clock = new ManualClock(systemClock.now());
  const us = await startGateway('us.example', FEATURES, clock);
  const eu = await startGateway('eu.example', FEATURES, clock);
  us.peerWith(eu, 'eu');
  const end = async (): Promise<void> => {
    await us[Symbol.asyncDispose]();
    await eu[Symbol.asyncDispose]();
  };
  return { us, eu, clock, [Symbol.asyncDispose]: end };
}

/** Until when the link of `us` lasts. */
const endOf = (us: TestGateway): number | undefined => us.listener.links()[0]?.term.endsAtMs;

test('a new SVID extends a link that stands, and its old end passes without harm', async () => {
  await using both = await rig();
  const { us, eu, clock } = both;
  const { http2, proof, ask } = await hostileLink(us, eu, clock);
  const first = endOf(us);
  clock.advance(SVID_MS / 2);
  const svid = freshSvid(eu, clock);
  const answer = await ask(proof.begin(svid));
  assert.equal(answer.status, 200);
  assert.deepEqual(proof.hear(answer.body).chain, heldSvid(us.svid).chain, 'the acceptor proves itself as well');
  assert.equal(endOf(us), svid.notAfterMs);
  assert.deepEqual(us.listener.links()[0]?.identity.chain, svid.chain);
  clock.advance((first ?? 0) - clock.now() + 1);
  await http2.ping();
  clock.advance(svid.notAfterMs - clock.now());
  await http2.closed;
});

test('statements that do not hold extend nothing: the link closes when the SVID that it began with expires', async () => {
  await using both = await rig();
  const { us, eu, clock } = both;
  const { http2, proof, ask } = await hostileLink(us, eu, clock);
  const other = await hostileLink(us, eu, clock);
  const [link] = us.listener.links();
  assert.ok(link !== undefined);
  const { chain } = link.identity;
  const { endsAtMs } = link.term;
  const good = freshSvid(eu, clock);
  const stranger = testDomain('eu.example');
  const statements: Readonly<Record<string, string>> = {
    'made for another link': other.proof.begin(good),
    'of another SVID of the domain': proof.begin(freshSvid(eu, clock, '/ns/shop/sa/web')),
    'of a root that is not in the bundle': proof.begin(stranger.svid('/jumpgate')),
    'of our own gateway': proof.begin(us.domain.svid('/jumpgate')),
    'by another key': proof.begin({ ...good, key: freshSvid(eu, clock).key }),
    expired: proof.begin(freshSvid(eu, clock, '/jumpgate', -1000)),
    'with another counter': proof.begin(good).replace(/"counter":(\d+)/, '"counter":1000'),
    'of no chain': writeReproof({ counter: 50, chain: [], signature: Buffer.from('x') }),
    'too large': proof.begin(good).padEnd(REPROOF_BYTES_MAX + 1),
    'no JSON': 'x',
    empty: '',
  };
  for (const [what, statement] of Object.entries(statements)) {
    const { status } = await ask(statement);
    assert.equal(status, 403, what);
    assert.deepEqual([link.term.endsAtMs, link.identity.chain], [endsAtMs, chain], what);
  }
  const statement = proof.begin(good);
  for (const change of [{ method: 'GET' }, { path: '/' }, { authority: 'reprove.jumpgate:443' }] as const) {
    assert.equal((await ask(statement, change)).status, 404, JSON.stringify(change));
  }
  const call = askSmall(http2, { method: 'GET', authority: 'payments.us.example', path: '/' }, limits);
  call.catch(() => undefined);
  await until('the call to arrive', () => us.calls.length === 1);
  clock.advance(endsAtMs - clock.now() - 1);
  await http2.ping();
  clock.advance(1);
  await assert.rejects(call, { code: 'body-cut' });
  await http2.closed;
});

test('a statement is good once: the same again, and what the acceptor said itself, are refused', async () => {
  await using both = await rig();
  const { us, eu, clock } = both;
  const { proof, ask } = await hostileLink(us, eu, clock);
  const statement = proof.begin(freshSvid(eu, clock));
  const { status, body } = await ask(statement);
  assert.equal(status, 200);
  assert.equal((await ask(statement)).status, 403, 'replayed');
  assert.equal((await ask(Buffer.from(body).toString())).status, 403, 'reflected');
  assert.equal((await ask(proof.begin(freshSvid(eu, clock)))).status, 200, 'an honest one after them');
});

test('a flood of statements is refused unread, and honest ones go on afterwards', async () => {
  await using both = await rig();
  const { us, eu, clock } = both;
  const { http2, proof, ask } = await hostileLink(us, eu, clock);
  const svid = freshSvid(eu, clock);
  assert.equal((await ask(proof.begin(svid))).status, 200);
  const question = { method: 'POST', authority: 'reprove.jumpgate', path: '/reprove' } as const;
  const flood = Array.from({ length: 200 }, () => askSmall(http2, { ...question, json: proof.begin(svid) }, limits));
  const statuses = new Set((await Promise.all(flood)).map(({ status }) => status));
  assert.deepEqual([...statuses], [429]);
  assert.equal((await ask(proof.begin(svid))).status, 200);
});

test('a gateway that has not announced re-proof serves none', async () => {
  const clock = new ManualClock(systemClock.now());
  await using us = await startGateway('us.example', {}, clock);
  await using eu = await startGateway('eu.example', FEATURES, clock);
  us.peerWith(eu, 'eu');
  const { proof, ask } = await hostileLink(us, eu, clock);
  assert.equal((await ask(proof.begin(freshSvid(eu, clock)))).status, 404);
});

test('removing the bundle closes a link at once, however long its proof would last', async () => {
  await using both = await rig();
  const { us, eu, clock } = both;
  const { http2, proof, ask } = await hostileLink(us, eu, clock);
  assert.equal((await ask(proof.begin(freshSvid(eu, clock)))).status, 200);
  us.snapshots.set({ bundles: bundleMap(us.domain) });
  await http2.closed;
});
