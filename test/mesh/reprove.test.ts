/** Links between two gateways whose SVIDs rotate: what is under way on them goes on, unless an end cannot prove itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { type DialledLink } from '../../gateway/link/dialled-link.ts';
import { askSmall, type SmallAnswer } from '../../gateway/link/small-body.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { createRoot, issueSvid, type Root } from '../../trust-bundles/x509/issue.ts';
import { heldSvid } from '../../trust-bundles/x509/svid.ts';
import { startGateway, until, type TestGateway } from '../support/gateways.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { bundleOf } from '../support/trust.ts';

const SVID_MS = 600_000;
const STEP_MS = 10_000;

interface Pair extends AsyncDisposable {
  readonly us: TestGateway;
  readonly eu: TestGateway;
  readonly clock: ManualClock;
  /** Time passes in steps, each of which the links take notice of. */
  pass(ms: number): Promise<void>;
}

function rotate({ svid, domain }: TestGateway, nowMs: number, root: Root = domain.root): void {
  const id = parseSpiffeId(`spiffe://${domain.trustDomain}/jumpgate`);
  svid.rotate(issueSvid({ root, id, nowMs, ttlMs: SVID_MS }));
}

/** Two peers whose SVIDs last for ten minutes from now on. */
async function pair(...features: readonly (readonly string[])[]): Promise<Pair> {
  const clock = new ManualClock(systemClock.now());
  const us = await startGateway('us.example', { features: features[0] ?? ['reprove'] }, clock);
  const eu = await startGateway('eu.example', { features: features[1] ?? ['reprove'] }, clock);
  for (const gateway of [us, eu]) rotate(gateway, clock.now());
  us.peerWith(eu, 'eu');
  eu.peerWith(us, 'us');
  await until('two links each way', () => us.pool.all().length === 2 && eu.pool.all().length === 2);
  const answers = async (): Promise<void> => {
    for (const gateway of [us, eu]) await Promise.allSettled(gateway.pool.all().map((link) => link.ping()));
  };
  const pass = async (ms: number): Promise<void> => {
    for (let leftMs = ms; leftMs > 0; leftMs -= STEP_MS) {
      clock.advance(Math.min(leftMs, STEP_MS));
      // A re-proof is one round trip, and its answer is taken a turn after it has come.
      await answers();
      await answers();
    }
  };
  await answers();
  const end = async (): Promise<void> => {
    await us[Symbol.asyncDispose]();
    await eu[Symbol.asyncDispose]();
  };
  return { us, eu, clock, pass, [Symbol.asyncDispose]: end };
}

/** A call of `us` that `eu` does not answer yet, on a link of which the test keeps hold. */
async function callUnderWay({ us, eu }: Pair): Promise<{ link: DialledLink; answer: Promise<SmallAnswer> }> {
  const link = us.pool.pick('eu', []);
  assert.ok(link !== undefined);
  const question = { method: 'GET', authority: 'payments.eu.example', path: '/' } as const;
  const answer = askSmall(link, question, { bytesMax: 10, signal: AbortSignal.timeout(60_000) });
  answer.catch(() => undefined);
  const before = eu.calls.length;
  await until('the call to arrive', () => eu.calls.length === before + 1);
  return { link, answer };
}

const sameLinks = (now: readonly DialledLink[], before: readonly DialledLink[]): boolean =>
  now.length === before.length && now.every((link, index) => link === before[index]);

test('a call and its link outlive three rotations of the SVIDs at both ends', async () => {
  await using both = await pair();
  const { us, eu, clock } = both;
  const { link, answer } = await callUnderWay(both);
  const first = { endsAtMs: link.term.endsAtMs, all: [...us.pool.all(), ...eu.pool.all()] };
  for (let rotation = 1; rotation <= 3; rotation += 1) {
    await both.pass(SVID_MS / 4);
    rotate(us, clock.now());
    await both.pass(SVID_MS / 4);
    rotate(eu, clock.now());
  }
  await both.pass(SVID_MS / 2);
  assert.ok(clock.now() > first.endsAtMs + SVID_MS);
  assert.ok(sameLinks([...us.pool.all(), ...eu.pool.all()], first.all), 'no link was replaced');
  assert.deepEqual(link.identity.chain, heldSvid(eu.svid).chain);
  for (const { identity } of eu.listener.links()) assert.deepEqual(identity.chain, heldSvid(us.svid).chain);
  eu.calls[0]?.stream.respond({ status: 204, fields: [] }, true);
  assert.equal((await answer).status, 204);
});

test('a call on a link that was replaced outlives rotations too', async () => {
  await using both = await pair();
  const { us, eu, clock } = both;
  const { link, answer } = await callUnderWay(both);
  const { endsAtMs } = link.term;
  link.retire();
  assert.equal(link.usable, false);
  for (let rotation = 1; rotation <= 3; rotation += 1) {
    await both.pass(SVID_MS / 2);
    for (const gateway of [us, eu]) rotate(gateway, clock.now());
  }
  assert.ok(clock.now() > endsAtMs);
  eu.calls[0]?.stream.respond({ status: 204, fields: [] }, true);
  assert.equal((await answer).status, 204);
  await link.closed;
});

for (const end of ['dialler', 'acceptor'] as const) {
  test(`a link whose ${end} has no new SVID is closed when the old one expires, and its call with it`, async () => {
    await using both = await pair();
    const { us, eu, clock } = both;
    const { link, answer } = await callUnderWay(both);
    const { endsAtMs } = link.term;
    await both.pass(SVID_MS / 2);
    rotate(end === 'dialler' ? eu : us, clock.now());
    await both.pass(endsAtMs - clock.now() - 1);
    assert.deepEqual([link.usable, us.pool.all().includes(link)], [false, true], 'no new calls');
    clock.advance(1);
    await assert.rejects(answer, { code: 'body-cut' });
    await link.closed;
  });
}

test('links of a gateway that knows no re-proof are replaced as its SVID changes, and theirs by it', async () => {
  await using both = await pair([], ['reprove']);
  const { us, eu, clock } = both;
  for (const gateway of [us, eu]) {
    // What lived for ten seconds was no failure, and is dialled again at once; links are turned away within the first.
    await both.pass(2 * STEP_MS);
    const before = new Set(gateway.pool.all());
    rotate(gateway, clock.now());
    await until('new links', () => {
      assert.notEqual(gateway.pool.pick(gateway === us ? 'eu' : 'us', []), undefined);
      // The control stream stays on the link that it is on.
      const lasting = gateway.pool.all().filter(({ leaving }) => !leaving);
      return lasting.length === 2 && lasting.every((link) => !before.has(link));
    });
  }
});

test('after a change of roots links are re-proved, so that they stay when the old root leaves the bundle', async () => {
  await using both = await pair();
  const { us, eu, clock } = both;
  const { link, answer } = await callUnderWay(both);
  const before = [...us.pool.all(), ...eu.pool.all()];
  const { trustDomain } = eu.domain;
  const next = createRoot({ trustDomain, nowMs: clock.now(), ttlMs: 10 * SVID_MS });
  const publish = (roots: readonly Root[], sequence: bigint): void => {
    const { bundles } = us.snapshots.current();
    us.snapshots.set({ bundles: new Map([...bundles, [trustDomain, bundleOf(trustDomain, roots, sequence)]]) });
  };
  publish([eu.domain.root, next], 2n);
  rotate(eu, clock.now(), next);
  await both.pass(SVID_MS * 0.6 + STEP_MS);
  publish([next], 3n);
  assert.ok(sameLinks([...us.pool.all(), ...eu.pool.all()], before));
  assert.equal(link.identity.anchorFingerprint, next.fingerprint);
  eu.calls[0]?.stream.respond({ status: 204, fields: [] }, true);
  assert.equal((await answer).status, 204);
});

test('links drain while a gateway has no SVID, and calls on them outlive it when it has one again in time', async () => {
  await using both = await pair();
  const { us, eu, clock } = both;
  const { link, answer } = await callUnderWay(both);
  const { endsAtMs } = link.term;
  us.svid.rotate(undefined);
  assert.equal(link.usable, false);
  await both.pass(SVID_MS / 2);
  for (const gateway of [us, eu]) rotate(gateway, clock.now());
  await both.pass(endsAtMs - clock.now() + STEP_MS);
  eu.calls[0]?.stream.respond({ status: 204, fields: [] }, true);
  assert.equal((await answer).status, 204);
});

test('re-proof does not carry a link beyond its maximum age', async () => {
  await using both = await pair();
  const { us, eu, clock } = both;
  const maxAgeMs = 1.5 * SVID_MS;
  for (const gateway of [us, eu]) gateway.snapshots.set({ linkMaxAgeMs: maxAgeMs });
  const { link, answer } = await callUnderWay(both);
  for (let rotation = 1; rotation <= 2; rotation += 1) {
    await both.pass(SVID_MS / 2);
    for (const gateway of [us, eu]) rotate(gateway, clock.now());
  }
  await both.pass(link.sinceMs + maxAgeMs - clock.now() - 1);
  assert.equal(link.term.endsAtMs, link.sinceMs + maxAgeMs);
  clock.advance(1);
  await assert.rejects(answer, { code: 'body-cut' });
  await link.closed;
});
