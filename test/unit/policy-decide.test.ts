/** Who is admitted, and what a refusal shows. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { decideExport, decideImport } from '../../federation/policy/decide.ts';
import { type AllowRule, type What } from '../../federation/policy/rule.ts';
import { type CallFacts, type Verdict } from '../../federation/policy/verdict.ts';
import { NO_DISTRUST } from '../../trust-bundles/distrust/distrust.ts';
import { edgeCallerId, parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { at, EU, EU_WEB, rule, US, US_WEB } from '../support/federation-values.ts';

const GET: CallFacts = { kind: 'call', method: 'GET', path: '/v1/items?limit=3', grpc: false };
const CHARGE: CallFacts = { kind: 'call', method: 'POST', path: '/payments.v1.Payments/Charge', grpc: true };

function ask(allow: readonly AllowRule[], call = GET, caller = EU_WEB, peer = 'eu-west'): Verdict {
  return decideExport({
    exported: { name: 'payments', protocol: 'grpc', allow, origin: at(9) },
    caller,
    peer,
    distrust: NO_DISTRUST,
    call,
  });
}

function reasonOf(verdict: Verdict): string {
  return verdict.kind === 'denial' ? verdict.reason : verdict.kind;
}

suite('an export', () => {
  test('without rules does not exist for anyone', () => {
    const verdict = ask([]);
    assert.equal(reasonOf(verdict), 'no-route');
    assert.equal(verdict.kind === 'denial' && verdict.visible, false);
  });

  test('admits by peer, and the permit names rule, place and caller', () => {
    const verdict = ask([rule({ peers: ['ap-south'] }), rule({ peers: ['eu-west'], origin: at(7) })]);
    assert.deepEqual(verdict, { kind: 'permit', rule: 'payments.allow[1]', origin: at(7), caller: EU_WEB });
  });

  test('does not exist for a peer that no rule names, and that wins over an ambiguous path', () => {
    const call = { ...GET, path: '/../x' };
    assert.equal(reasonOf(ask([rule({ peers: ['ap-south'] })], call)), 'no-route');
  });

  test('exists for a peer whose trust domain a pattern names, although its caller is refused visibly', () => {
    const verdict = ask([rule({ who: ['spiffe://eu-west.example.org/ns/bank/**'] })]);
    assert.equal(reasonOf(verdict), 'denied-by-export');
    assert.equal(verdict.kind === 'denial' && verdict.visible, true);
  });

  test('does not exist for a peer when the rule that names it has patterns of another trust domain only', () => {
    const allow = [rule({ peers: ['eu-west'], who: ['spiffe://us-east.example.org/**'] })];
    assert.equal(reasonOf(ask(allow)), 'no-route');
  });

  test('demands peers and who of one rule together, never one of each', () => {
    const bank = 'spiffe://eu-west.example.org/ns/bank/**';
    assert.equal(reasonOf(ask([rule({ peers: ['eu-west'], who: [bank] })])), 'denied-by-export');
    const split = [rule({ peers: ['ap-south'], who: ['spiffe://eu-west.example.org/**'] }), rule({ who: [bank] })];
    assert.equal(reasonOf(ask(split)), 'denied-by-export');
    assert.equal(
      reasonOf(ask([rule({ peers: ['eu-west'], who: ['spiffe://eu-west.example.org/ns/*/sa/web'] })])),
      'permit',
    );
  });

  test('takes empty lists for nothing', () => {
    assert.equal(reasonOf(ask([rule({ peers: [] })])), 'no-route');
    assert.equal(reasonOf(ask([rule({ peers: ['eu-west'], who: [] })])), 'no-route');
    assert.equal(reasonOf(ask([rule({ peers: ['eu-west'], what: { http: [] } })])), 'denied-by-export');
    assert.equal(reasonOf(ask([rule({ peers: ['eu-west'], what: { http: [{ methods: [] }] } })])), 'denied-by-export');
    assert.equal(reasonOf(ask([rule({ peers: ['eu-west'], what: { http: [{ paths: [] }] } })])), 'denied-by-export');
  });

  test('takes a half-made rule for nothing', () => {
    assert.equal(reasonOf(ask([rule({})])), 'no-route');
    assert.equal(reasonOf(ask([rule({ peers: ['eu-west'], what: {} })])), 'denied-by-export');
    assert.equal(reasonOf(ask([rule({ who: ['spiffe://eu-west.example.org'] })])), 'denied-by-export');
    assert.equal(reasonOf(ask([rule({ who: ['**'] })])), 'no-route');
  });

  test('knows our own mesh as self, and a peer of no other name', () => {
    const allow = [rule({ peers: ['self'] })];
    assert.equal(reasonOf(ask(allow, GET, US_WEB, 'self')), 'permit');
    assert.equal(reasonOf(ask(allow)), 'no-route');
  });

  test('matches reserved identities by their literal selves only', () => {
    const edge = edgeCallerId(US, 'public');
    for (const who of ['spiffe://us-east.example.org/**', 'spiffe://us-east.example.org/jumpgate/edge/*']) {
      assert.equal(reasonOf(ask([rule({ who: [who] })], GET, edge, 'self')), 'denied-by-export', who);
    }
    assert.equal(reasonOf(ask([rule({ who: [edge] })], GET, edge, 'self')), 'permit');
    assert.equal(reasonOf(ask([rule({ who: [edge] })], GET, edgeCallerId(US, 'other'), 'self')), 'denied-by-export');
    assert.equal(reasonOf(ask([rule({ who: [edge] })], GET, edgeCallerId(EU, 'public'))), 'no-route');
  });

  test('points at the first rule that admits the caller when the call is not admitted', () => {
    const allow = [
      rule({ peers: ['eu-west'], who: ['spiffe://eu-west.example.org/ns/bank/*'], origin: at(3) }),
      rule({ peers: ['eu-west'], what: { http: [{ methods: ['PUT'] }] }, origin: at(4) }),
    ];
    const verdict = ask(allow);
    assert.deepEqual(verdict, {
      kind: 'denial',
      reason: 'denied-by-export',
      message: `export payments admits ${EU_WEB}, but not for GET /v1/items`,
      origin: at(4),
      visible: true,
    });
  });
});

suite('what', () => {
  const judge = (what: What, call: Partial<CallFacts>, base = GET): string =>
    reasonOf(ask([rule({ peers: ['eu-west'], what })], { ...base, ...call }));
  const items: What = { http: [{ methods: ['GET', 'HEAD'], paths: ['/v1/items', '/v1/items/*'] }] };

  test('admits the listed methods on the listed paths, query aside', () => {
    assert.equal(judge(items, {}), 'permit');
    assert.equal(judge(items, { path: '/v1/items/7?x=/../y' }), 'permit');
  });

  test('refuses everything else', () => {
    const calls: Partial<CallFacts>[] = [{ method: 'POST' }, { method: 'get' }, { path: '/v1/items/7/x' }];
    const paths = ['/v1/item', '/v1/items/', '/V1/items', '/v1/items;a=1', '/v1//items', '/v1/items%2F7'];
    for (const call of [...calls, ...paths.map((path) => ({ path }))]) {
      assert.equal(judge(items, call), 'denied-by-export', JSON.stringify(call));
    }
  });

  test('does not mix methods of one entry with paths of another', () => {
    const two: What = {
      http: [
        { methods: ['GET'], paths: ['/a'] },
        { methods: ['POST'], paths: ['/b'] },
      ],
    };
    assert.equal(judge(two, { path: '/a' }), 'permit');
    assert.equal(judge(two, { path: '/b' }), 'denied-by-export');
  });

  test('left out admits paths that no pattern matches, but no ambiguous one', () => {
    const all = [rule({ peers: ['eu-west'] })];
    for (const path of ['/a//b', '/a%2Fb', '/a;b']) assert.equal(reasonOf(ask(all, { ...GET, path })), 'permit', path);
    for (const path of ['/a/../b', '*', '/a%00', '/a b', '']) {
      assert.equal(reasonOf(ask(all, { ...GET, path })), 'path-ambiguous', path);
    }
  });

  test('of gRPC admits gRPC calls of the method, and of no other', () => {
    const charge: What = { grpc: ['payments.v1.Payments/Charge'] };
    assert.equal(judge(charge, {}, CHARGE), 'permit');
    assert.equal(judge({ grpc: ['payments.v1.Payments/*'] }, {}, CHARGE), 'permit');
    assert.equal(judge(charge, { path: '/payments.v1.Payments/Refund' }, CHARGE), 'denied-by-export');
    assert.equal(judge(charge, { grpc: false }, CHARGE), 'denied-by-export');
    assert.equal(judge(charge, { method: 'GET' }, CHARGE), 'denied-by-export');
  });

  test('of HTTP judges a gRPC call as well', () => {
    assert.equal(judge({ http: [{ methods: ['POST'], paths: ['/payments.v1.Payments/*'] }] }, {}, CHARGE), 'permit');
    assert.equal(judge({ http: [{ methods: ['GET'] }] }, {}, CHARGE), 'denied-by-export');
  });

  test('is not asked about a gRPC call whose path is not /Service/Method', () => {
    for (const path of ['/S', '/S/', '/a/b/c', '/S/M?x=1']) {
      assert.equal(reasonOf(ask([rule({ peers: ['eu-west'] })], { ...CHARGE, path })), 'path-ambiguous', path);
    }
  });
});

suite('an import', () => {
  const who = ['spiffe://us-east.example.org/ns/shop/sa/*'];
  const imported = { name: 'eu-orders', peer: 'eu-west', peerTrustDomain: EU, protocol: undefined, who, origin: at(5) };

  test('admits the local callers that it names', () => {
    const verdict = decideImport({ distrust: NO_DISTRUST, imported, caller: US_WEB, call: GET });
    assert.deepEqual(verdict, { kind: 'permit', rule: 'eu-orders.who[0]', origin: at(5), caller: US_WEB });
  });

  test('refuses every other caller, and everyone when its list is empty', () => {
    const other = parseSpiffeId('spiffe://us-east.example.org/ns/bank/sa/web');
    for (const caller of [other, EU_WEB, edgeCallerId(US, 'public')]) {
      assert.equal(
        reasonOf(decideImport({ distrust: NO_DISTRUST, imported, caller, call: GET })),
        'denied-by-import',
        caller,
      );
    }
    assert.equal(
      reasonOf(decideImport({ distrust: NO_DISTRUST, imported: { ...imported, who: [] }, caller: US_WEB, call: GET })),
      'denied-by-import',
    );
  });

  test('refuses an ambiguous path whoever asks', () => {
    const call = { ...GET, path: '/a/%2e%2e/b' };
    assert.equal(reasonOf(decideImport({ distrust: NO_DISTRUST, imported, caller: US_WEB, call })), 'path-ambiguous');
  });
});

suite('a connection', () => {
  const connection = { kind: 'connection' } as const;
  const connect = (
    allow: readonly AllowRule[],
    protocol: 'tcp' | 'tls' | 'http1' = 'tcp',
    caller = EU_WEB,
  ): Verdict => {
    const exported = { name: 'db', protocol, allow, origin: at(9) };
    return decideExport({ distrust: NO_DISTRUST, exported, caller, peer: 'eu-west', call: connection });
  };

  test('is admitted by peers and who', () => {
    const allow = [rule({ peers: ['eu-west'], who: ['spiffe://eu-west.example.org/ns/shop/**'], origin: at(7) })];
    assert.deepEqual(connect(allow), { kind: 'permit', rule: 'db.allow[0]', origin: at(7), caller: EU_WEB });
    assert.equal(reasonOf(connect(allow, 'tls')), 'permit');
    const bank = parseSpiffeId('spiffe://eu-west.example.org/ns/bank/sa/web');
    assert.equal(reasonOf(connect(allow, 'tcp', bank)), 'denied-by-export');
    assert.equal(reasonOf(connect([rule({ peers: ['ap-south'] })])), 'no-route');
    assert.equal(reasonOf(connect([])), 'no-route');
  });

  test('is refused by every rule that says what it admits, since nobody sees what a connection carries', () => {
    for (const what of [{}, { http: [{}] }, { grpc: ['a.B/*'] }, { http: [{ methods: ['CONNECT'] }] }]) {
      const verdict = connect([rule({ peers: ['eu-west'], what })]);
      assert.equal(reasonOf(verdict), 'denied-by-export');
      assert.match(verdict.kind === 'denial' ? verdict.message : '', /but not for connections$/);
    }
  });

  test('to a service of calls, and a call to a service of connections, are refused, and hidden where nobody is named', () => {
    const all = [rule({ peers: ['eu-west'] })];
    assert.equal(reasonOf(connect(all, 'http1')), 'protocol-mismatch');
    const call = (protocol: 'tcp' | 'tls', allow = all): string => {
      const exported = { name: 'db', protocol, allow, origin: at(9) };
      return reasonOf(decideExport({ distrust: NO_DISTRUST, exported, caller: EU_WEB, peer: 'eu-west', call: GET }));
    };
    assert.equal(call('tcp'), 'protocol-mismatch');
    assert.equal(call('tls'), 'protocol-mismatch');
    assert.equal(call('tcp', [rule({ peers: ['ap-south'] })]), 'no-route');
    assert.equal(reasonOf(connect([rule({ peers: ['ap-south'] })], 'http1')), 'no-route');
  });

  test('to an import is judged by who, once the peer has announced a service of connections', () => {
    const imported = {
      name: 'eu-db',
      peer: 'eu-west',
      peerTrustDomain: EU,
      who: ['spiffe://us-east.example.org/ns/shop/**'],
      origin: at(5),
    };
    const ask = (protocol: 'tcp' | 'tls' | 'grpc' | undefined, caller: typeof US_WEB): string =>
      reasonOf(decideImport({ distrust: NO_DISTRUST, imported: { ...imported, protocol }, caller, call: connection }));
    for (const protocol of ['tcp', 'tls', undefined] as const) {
      assert.equal(ask(protocol, US_WEB), 'permit');
      assert.equal(ask(protocol, EU_WEB), 'denied-by-import');
    }
    assert.equal(ask('grpc', US_WEB), 'protocol-mismatch');
    const call = decideImport({
      distrust: NO_DISTRUST,
      imported: { ...imported, protocol: 'tls' },
      caller: US_WEB,
      call: GET,
    });
    assert.equal(reasonOf(call), 'protocol-mismatch');
  });
});
