/** Limits of listeners and exports on calls across two gateways' call paths. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

import { get, http1Service, startRig } from '../support/forward-rig.ts';

const LIMIT = { timeout: 20_000 };

test(
  'a call whose head is as large as its listener permits crosses the link with what gateways add, one field more does not',
  LIMIT,
  async () => {
    await using service = await http1Service((request, response) => response.end(String(request.headers['x-0'])));
    await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
    const numbers = (count: number): Record<string, string> =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, 'a']));
    const host = 'web.eu.mesh.internal';
    // Host and Connection are fields too.
    const full = await get(rig.port, { headers: { host, ...numbers(98) } });
    assert.deepEqual([full.status, full.body], [200, 'a']);
    assert.equal((await get(rig.port, { headers: { host, ...numbers(99) } })).status, 431);
  },
);

test('at a listener with a small buffer a large response still comes whole', LIMIT, async () => {
  const body = Buffer.alloc(4 * 1024 * 1024, 'abcdefgh').toString();
  await using service = await http1Service((_request, response) => response.end(body));
  const limits = { connectionBufferBytes: 4_096, streamWindowBytes: 1_024 };
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }], { limits });
  const answer = await get(rig.port, { headers: { host: 'web.eu.mesh.internal' } });
  assert.equal(answer.body, body);
});

test(
  "an export's rule on bodies cuts the slow sender of another mesh, and says how slow is too slow",
  LIMIT,
  async () => {
    await using service = await http1Service((request, response) =>
      request.resume().on('end', () => response.end('ok')),
    );
    const limits = { bodyBytesPerSecond: 1_000, bodyStallMs: 1_000 };
    await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port, limits }]);
    const socket = connect(rig.port, '127.0.0.1');
    socket.write('POST / HTTP/1.1\r\nhost: web.eu.mesh.internal\r\ncontent-length: 100000\r\n\r\nslow');
    const answer = await text(socket);
    assert.match(answer, /^HTTP\/1\.1 408 /);
    assert.match(answer, /limit-body-rate: .*less than 1000 bytes in 1000 ms/);
    const record = await rig.record('inbound');
    assert.deepEqual([record.status, record.reason, record.verdict], [408, 'limit-body-rate', 'denial']);
  },
);
