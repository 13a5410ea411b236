/** Explanations agree with what a real call meets beside policy. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { type ExplainedSnapshot } from '../../federation/policy/explain.ts';
import { describeCall } from '../../gateway/admin/operations-explain.ts';
import { compileDistrust, NO_DISTRUST } from '../../trust-bundles/distrust/distrust.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';

const EAST = parseTrustDomain('us-east.example.org');
const WEST = parseTrustDomain('eu-west.example.org');
const origin = { file: 'a.yaml', line: 1, column: 1 };
const from = 'spiffe://eu-west.example.org/ns/shop/sa/web';

const snapshot: ExplainedSnapshot = {
  trustDomain: EAST,
  distrust: NO_DISTRUST,
  peers: new Map([['eu-west', { name: 'eu-west', trustDomain: WEST }]]),
  exports: new Map(
    (['http1', 'grpc', 'tcp', 'tls'] as const).map((protocol) => [
      protocol,
      { name: protocol, protocol, origin, allow: [{ peers: ['eu-west'], origin }] },
    ]),
  ),
  imports: new Map(),
};

test('a method that no listener carries is denied whatever policy says', () => {
  for (const [method, refusal] of [
    ['TRACE', ['method-unsupported', 405]],
    ['CONNECT', ['method-unsupported', 405]],
    ['trace', ['request-malformed', 400]],
    ['get', ['request-malformed', 400]],
  ] as const) {
    const { verdict, reason, status } = describeCall(snapshot, { from, to: 'http1', method });
    assert.deepEqual([verdict, reason, status], ['denial', ...refusal]);
  }
  assert.equal(describeCall(snapshot, { from, to: 'http1', method: 'GET' }).verdict, 'permit');
});

test('gRPC to an export that speaks HTTP/1.1 is denied, and to one that speaks gRPC permitted', () => {
  const call = { from, grpc: true, path: '/a.B/C' };
  assert.equal(describeCall(snapshot, { ...call, to: 'http1' }).reason, 'protocol-mismatch');
  assert.equal(describeCall(snapshot, { ...call, to: 'grpc' }).verdict, 'permit');
});

test('a connection to tcp or tls is judged by peers and who, and asking for a call there is denied', () => {
  for (const to of ['tcp', 'tls']) {
    assert.equal(describeCall(snapshot, { from, to }).verdict, 'permit');
    assert.equal(describeCall(snapshot, { from, to, grpc: false }).verdict, 'permit');
    for (const call of [{ method: 'GET' }, { path: '/' }, { grpc: true, path: '/a.B/C' }]) {
      const { verdict, reason, status, message } = describeCall(snapshot, { from, to, ...call });
      assert.deepEqual([verdict, reason, status], ['denial', 'protocol-mismatch', 502]);
      assert.equal(message, `export ${to} speaks ${to}, so it takes connections, found a call`);
    }
  }
});

test('a quarantined caller, peer, domain or export is denied as a real call is, and what is hidden stays so', () => {
  for (const target of [
    { kind: 'spiffe', name: 'spiffe://eu-west.example.org/ns/*/sa/web' },
    { kind: 'peer', name: 'eu-west' },
    { kind: 'domain', name: WEST },
    { kind: 'export', name: 'http1' },
  ] as const) {
    const distrust = compileDistrust([target]);
    const { verdict, reason, status } = describeCall({ ...snapshot, distrust }, { from, to: 'http1' });
    assert.deepEqual([verdict, reason, status], ['denial', 'quarantined', 403], target.kind);
    const hidden = new Map([['http1', { name: 'http1', protocol: 'http1', origin, allow: [] } as const]]);
    assert.equal(describeCall({ ...snapshot, distrust, exports: hidden }, { from, to: 'http1' }).reason, 'no-route');
  }
});
