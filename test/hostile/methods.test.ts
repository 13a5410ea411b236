/** Methods: one rule, whichever protocol a caller speaks (catalogue rows B16, D6, F15). */
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { test } from 'node:test';

import { http1Service, startRig } from '../support/forward-rig.ts';
import { ended } from '../support/tls.ts';

const LIMIT = { timeout: 20_000 };
const HOST = 'web.eu.mesh.internal';

/** Status and reason. */
type Outcome = readonly [number | undefined, string | undefined];

/** A caller who writes by hand. */
async function over1(port: number, method: string): Promise<Outcome> {
  const socket = connect(port, '127.0.0.1');
  socket.write(`${method} / HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n\r\n`);
  const { received } = await ended(socket);
  return [Number(received.split(' ', 2)[1]), /\r\njumpgate-reason: (\S+)/.exec(received)?.[1]];
}

async function over2(session: http2.ClientHttp2Session, method: string): Promise<Outcome> {
  const stream = session.request({ ':method': method, ':path': '/', ':authority': HOST });
  return new Promise((resolve, reject) => {
    stream.on('error', reject);
    stream.on('response', (headers) => resolve([headers[':status'], headers['jumpgate-reason']?.toString()]));
    stream.resume();
  });
}

test('methods in lower or mixed case reach no service over either protocol, with one reason', LIMIT, async () => {
  const seen: (string | undefined)[] = [];
  await using service = await http1Service((request, response) => {
    seen.push(request.method);
    response.end();
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  try {
    for (const method of ['get', 'Get', 'gET', 'patch', 'trace', 'a!#$%', 'BR!W', '-GET', 'A'.repeat(33)]) {
      assert.deepEqual(await over1(rig.port, method), [400, 'request-malformed'], method);
      assert.deepEqual(await over2(session, method), [400, 'request-malformed'], method);
    }
    assert.deepEqual(seen, []);
    for (const method of ['PROPFIND', 'M-SEARCH', 'DELETE']) {
      assert.deepEqual(await over2(session, method), [200, undefined], method);
      assert.deepEqual(await over1(rig.port, method), [200, undefined], method);
    }
    assert.deepEqual(seen, ['PROPFIND', 'PROPFIND', 'M-SEARCH', 'M-SEARCH', 'DELETE', 'DELETE']);
  } finally {
    session.destroy();
  }
});
