/** Tokens of callers on their way: they reach the service that they were sent to, and nothing that we write down. */
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { test } from 'node:test';

import { testJwtKey, testToken } from '../support/jwt.ts';
import { callHttp2 } from '../support/http2-call.ts';
import { get, http1Service, http2Service, startRig } from '../support/forward-rig.ts';

const LIMIT = { timeout: 20_000 };
const HOST = 'pay.eu.mesh.internal';
const token = testToken(testJwtKey('one'));
const bearer = `Bearer ${token}`;

test(
  'JW-9: a token in Authorization crosses both jumps unchanged over HTTP/1.1, and no record holds it',
  LIMIT,
  async () => {
    const seen: unknown[] = [];
    await using service = await http1Service((request, response) => {
      seen.push(request.headers.authorization);
      response.end('ok');
    });
    await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }]);
    assert.equal((await get(rig.port, { headers: { host: HOST, authorization: bearer } })).body, 'ok');
    assert.deepEqual(seen, [bearer]);
    await Promise.all([rig.record('outbound'), rig.record('inbound')]);
    assert.ok(!JSON.stringify(rig.records).includes(token.slice(-20)));
  },
);

test(
  'JW-9, JW-10: a gRPC call keeps its token in metadata, never indexed, and a call without one is given none',
  LIMIT,
  async () => {
    const seen: http2.IncomingHttpHeaders[] = [];
    await using service = await http2Service((stream, headers) => {
      seen.push(headers);
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.resume().on('end', () => stream.end());
    });
    await using rig = await startRig([{ name: 'pay', protocol: 'grpc', port: service.port }]);
    const call = {
      ':method': 'POST',
      ':path': '/p.P/M',
      ':authority': HOST,
      'content-type': 'application/grpc',
      te: 'trailers',
    };
    await callHttp2(rig.port, { ...call, authorization: bearer }, 'ping');
    await callHttp2(rig.port, call, 'ping');
    assert.deepEqual(
      seen.map(({ authorization }) => authorization),
      [bearer, undefined],
    );
    assert.deepEqual(seen[0]?.[http2.sensitiveHeaders as unknown as string], ['authorization']);
    assert.ok(!JSON.stringify(rig.records).includes(token.slice(-20)));
  },
);
