/** What counts as a change of the snapshot, and who is told of it. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { type ResourceSet } from '../../federation/resources/values.ts';
import { type SnapshotInput } from '../../federation/snapshot/build.ts';
import { type Generations, type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { ReplaceableSnapshot } from '../../federation/snapshot/source.ts';
import { keepUnchanged } from '../../federation/snapshot/unchanged.ts';
import { AP, bundleOf, catalogueOf, EU, importOf, peerOf, resourceSet, US } from '../support/federation-values.ts';
import { build, bundles, catalogues, EU_PEER, NOW, WHOLE } from '../support/snapshots.ts';

test('the limits of the mesh are in the snapshot, and another limit makes another snapshot with the same generations', () => {
  const set = resourceSet(EU_PEER);
  const first = build(EU_PEER).snapshot;
  assert.equal(first.limits, set.mesh.spec.limits);
  const limits = { ...first.limits, headersMs: 5 };
  const mesh = { ...set.mesh, spec: { ...set.mesh.spec, limits } };
  const second = build({ ...EU_PEER, mesh }, { previous: first }).snapshot;
  assert.equal(second.limits.headersMs, 5);
  assert.deepEqual(second.generations, first.generations);
  assert.equal(build(EU_PEER, { previous: first }).snapshot, first);
});

suite('generations', () => {
  const first = build(WHOLE).snapshot;
  const step = (
    parts: Partial<ResourceSet>,
    input: Partial<SnapshotInput> = {},
    previous: Snapshot = first,
  ): Snapshot => build(parts, { previous, ...input }).snapshot;
  const changed = (next: Snapshot): readonly string[] => {
    const [was, is]: Generations[] = [first.generations, next.generations];
    assert.ok(was !== undefined && is !== undefined);
    const imports = was.imports.get('eu-west') === is.imports.get('eu-west') ? [] : ['imports'];
    return [...(was.trust === is.trust ? [] : ['trust']), ...(was.policy === is.policy ? [] : ['policy']), ...imports];
  };

  test('stay, and the snapshot is the very same, when nothing changed', () => {
    assert.equal(step(structuredClone(WHOLE)), first);
  });

  test('go up for the part that changed alone', () => {
    const bundlesNow = new Map([...bundles(US), [EU, bundleOf(EU, 2n)] as const]);
    assert.deepEqual(changed(step(WHOLE, { bundles: bundlesNow })), ['trust']);
    assert.deepEqual(changed(step(WHOLE, { tainted: new Set(['ab'.repeat(32)]) })), ['trust']);
    assert.deepEqual(changed(step({ ...WHOLE, exports: [] })), ['policy']);
    assert.deepEqual(changed(step(WHOLE, { catalogues: catalogues({}) })), ['imports']);
    assert.deepEqual(changed(step(WHOLE, { catalogues: catalogues({ orders: 'grpc' }) })), ['imports']);
    const moved = { ...WHOLE, peers: [peerOf('eu-west', EU, { gateways: [] })] };
    assert.deepEqual(changed(step(moved)), ['imports']);
    const closed = { ...WHOLE, imports: [importOf('eu-orders', { alias: 'orders.shop.internal', who: [] })] };
    assert.deepEqual(changed(step(closed)), ['policy', 'imports']);
  });

  test('of one peer do not move with what another announces', () => {
    const two = {
      ...WHOLE,
      peers: [...WHOLE.peers, peerOf('ap-south', AP)],
      imports: [...WHOLE.imports, importOf('ap', { peer: 'ap-south' })],
    };
    const input = { bundles: bundles(US, EU, AP) };
    const before = build(two, input).snapshot;
    const now = new Map([
      ...catalogues({ orders: 'http1' }),
      ['ap-south', catalogueOf({ orders: 'http1' }, NOW)] as const,
    ]);
    const next = build(two, { ...input, catalogues: now, previous: before }).snapshot;
    assert.equal(next.generations.imports.get('eu-west'), before.generations.imports.get('eu-west'));
    assert.notEqual(next.generations.imports.get('ap-south'), before.generations.imports.get('ap-south'));
    assert.equal(next.generations.policy, before.generations.policy);
    assert.equal(next.generations.trust, before.generations.trust);
  });

  test('are never given twice, also when a peer goes and comes back', () => {
    const busy = step(WHOLE, { catalogues: catalogues({}) });
    const away = step({}, { catalogues: new Map() }, busy);
    const back = step(WHOLE, {}, away);
    const number = (snapshot: Snapshot): number => snapshot.generations.imports.get('eu-west') ?? 0;
    assert.equal(number(away), 0);
    assert.ok(number(back) > number(busy));
  });
});

test('a bundle that did not change stays the very value, also after it went to another process; one that did is new', () => {
  const first = build(WHOLE).snapshot;
  const renewed = new Map([...bundles(US), [EU, bundleOf(EU, 2n)] as const]);
  const next = build({ ...WHOLE, exports: [] }, { previous: first, bundles: structuredClone(renewed) }).snapshot;
  assert.notEqual(next, first);
  assert.equal(next.bundles.get(US), first.bundles.get(US));
  assert.equal(next.bundles.get(EU)?.sequence, 2n);
  const received = keepUnchanged(structuredClone(next.bundles), next.bundles);
  assert.equal(received.get(EU), next.bundles.get(EU));
  assert.equal(keepUnchanged(received, undefined).get(EU), received.get(EU));
});

suite('the source of snapshots', () => {
  const one = build(WHOLE).snapshot;
  const two = build({}).snapshot;
  const three = build(EU_PEER).snapshot;

  test('tells of each change until its watch ends, and of the same value not at all', () => {
    const source = new ReplaceableSnapshot(one);
    const seen: Snapshot[] = [];
    const watch = source.watch((snapshot) => seen.push(snapshot));
    source.replace(one);
    source.replace(two);
    assert.equal(source.current(), two);
    watch[Symbol.dispose]();
    source.replace(three);
    assert.deepEqual(seen, [two]);
  });

  test('never tells of an older snapshot after a newer one', () => {
    const source = new ReplaceableSnapshot(one);
    const seen: Snapshot[] = [];
    source.watch((snapshot) => {
      if (snapshot === two) source.replace(three);
    });
    source.watch((snapshot) => seen.push(snapshot));
    source.replace(two);
    assert.deepEqual(seen, [three]);
  });

  test('tells the others when one listener throws, and throws then', () => {
    const source = new ReplaceableSnapshot(one);
    const seen: Snapshot[] = [];
    source.watch(() => {
      throw new Error('bug');
    });
    source.watch((snapshot) => seen.push(snapshot));
    assert.throws(() => source.replace(two), AggregateError);
    assert.deepEqual(seen, [two]);
  });
});
