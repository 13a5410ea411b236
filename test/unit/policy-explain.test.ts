/** Explaining a call gives the verdict that the call would get. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { decideExport, decideImport } from '../../federation/policy/decide.ts';
import { explainCall, type Explanation, type ExplainTarget } from '../../federation/policy/explain.ts';
import { buildSnapshot } from '../../federation/snapshot/build.ts';
import { NO_DISTRUST } from '../../trust-bundles/distrust/distrust.ts';
import { parseSpiffeId, type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import {
  at,
  bundleOf,
  catalogueOf,
  EU,
  EU_WEB,
  exportOf,
  importOf,
  peerOf,
  resourceSet,
  rule,
  US_WEB,
} from '../support/federation-values.ts';

const { snapshot } = buildSnapshot({
  set: resourceSet({
    peers: [peerOf('eu-west', EU)],
    exports: [
      exportOf('payments', [rule({ peers: ['eu-west'], what: { http: [{ methods: ['GET'] }] }, origin: at(4) })]),
      exportOf('private', [rule({ peers: ['self'] })]),
    ],
    imports: [
      importOf('eu-orders', { alias: 'orders.shop.internal', who: ['spiffe://us-east.example.org/ns/shop/**'] }),
      importOf('eu-gone', { export: 'gone' }),
    ],
  }),
  storedPeers: [],
  bundles: new Map([[EU, bundleOf(EU)]]),
  tainted: new Set(),
  distrust: NO_DISTRUST,
  catalogues: new Map([['eu-west', catalogueOf({ orders: 'http1' }, 1_000)]]),
  nowMs: 1_000,
});

const CALL = { kind: 'call' as const, method: 'GET', path: '/x', grpc: false };

function explain(from: SpiffeId, to: ExplainTarget, call: Partial<typeof CALL> = {}): Explanation {
  return explainCall({ snapshot, from, to, call: { ...CALL, ...call } });
}

suite('explain', () => {
  test('names the rule and the line that admit a call, and what the peer may still refuse', () => {
    const told = explain(EU_WEB, { kind: 'export', name: 'payments' });
    assert.equal(told.verdict.kind, 'permit');
    assert.equal(told.rule, 'payments.allow[0]');
    assert.equal(told.where, 'mesh.yaml:4:1');
    assert.match(told.otherSide, /eu-west itself may still refuse: there an import must admit/);
  });

  test('gives exactly the verdict of decide', () => {
    const calls = [CALL, { ...CALL, method: 'POST' }, { ...CALL, path: '/../x' }];
    for (const call of calls) {
      for (const exported of snapshot.exports.values()) {
        const direct = decideExport({ distrust: NO_DISTRUST, exported, caller: EU_WEB, peer: 'eu-west', call });
        assert.deepEqual(explain(EU_WEB, { kind: 'export', name: exported.name }, call).verdict, direct);
        const own = decideExport({ distrust: NO_DISTRUST, exported, caller: US_WEB, peer: 'self', call });
        assert.deepEqual(explain(US_WEB, { kind: 'export', name: exported.name }, call).verdict, own);
      }
      for (const imported of snapshot.imports.values()) {
        const direct = decideImport({ distrust: NO_DISTRUST, imported, caller: US_WEB, call });
        assert.deepEqual(explain(US_WEB, { kind: 'import', name: imported.name }, call).verdict, direct);
      }
    }
  });

  test('finds an import by any of its hosts, in any case and with a port', () => {
    for (const host of ['orders.eu-west.mesh.internal', 'ORDERS.shop.internal:80', 'orders.shop.internal.']) {
      const told = explain(US_WEB, { kind: 'host', host });
      assert.equal(told.rule, 'eu-orders.who[0]', host);
      assert.match(told.otherSide, /eu-west's own policy for its export orders decides as well/);
    }
    assert.equal(explain(US_WEB, { kind: 'host', host: 'other.shop.internal' }).verdict.kind, 'denial');
  });

  test('says that a withdrawn import is refused although policy admits', () => {
    const told = explain(US_WEB, { kind: 'import', name: 'eu-gone' });
    assert.equal(told.verdict.kind, 'permit');
    assert.match(told.otherSide, /does not export gone to us, so a call is refused here/);
  });

  test('denies callers that no listener or link would bring', () => {
    const stranger = parseSpiffeId('spiffe://ap-south.example.org/ns/shop/sa/web');
    assert.match(
      explain(stranger, { kind: 'export', name: 'payments' }).because,
      /no registered peer has the trust domain/,
    );
    const foreign = explain(EU_WEB, { kind: 'import', name: 'eu-gone' });
    assert.match(foreign.because, /imports are for callers of us-east.example.org only/);
    assert.equal(foreign.verdict.kind, 'denial');
  });

  test('gives the same hidden no-route for an export that is not there and one that names others only', () => {
    for (const name of ['nothing', 'private']) {
      const { verdict } = explain(EU_WEB, { kind: 'export', name });
      assert.ok(verdict.kind === 'denial' && verdict.reason === 'no-route' && !verdict.visible, name);
    }
  });
});
