/** Explanations agree with what a real call meets beside policy. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { describeCall, type DescribedSnapshot } from '../../gateway/admin/operations-explain.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';

const EAST = parseTrustDomain('us-east.example.org');
const WEST = parseTrustDomain('eu-west.example.org');
const origin = { file: 'a.yaml', line: 1, column: 1 };
const from = 'spiffe://eu-west.example.org/ns/shop/sa/web';

const snapshot: DescribedSnapshot = {
  trustDomain: EAST,
  peers: new Map([['eu-west', { name: 'eu-west', trustDomain: WEST }]]),
  exports: new Map(
    (['http1', 'grpc'] as const).map((protocol) => [
      protocol,
      { name: protocol, protocol, origin, allow: [{ peers: ['eu-west'], origin }] },
    ]),
  ),
  imports: new Map(),
};

test('a method that no listener carries is denied whatever policy says', () => {
  for (const method of ['TRACE', 'CONNECT', 'trace']) {
    const { verdict, reason, status } = describeCall(snapshot, { from, to: 'http1', method });
    assert.deepEqual([verdict, reason, status], ['denial', 'method-unsupported', 405]);
  }
  assert.equal(describeCall(snapshot, { from, to: 'http1', method: 'GET' }).verdict, 'permit');
});

test('gRPC to an export that speaks HTTP/1.1 is denied, and to one that speaks gRPC permitted', () => {
  const call = { from, grpc: true, path: '/a.B/C' };
  assert.equal(describeCall(snapshot, { ...call, to: 'http1' }).reason, 'protocol-mismatch');
  assert.equal(describeCall(snapshot, { ...call, to: 'grpc' }).verdict, 'permit');
});
