/** The status listener over a real socket. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { Lifecycle } from '../../gateway/process/lifecycle.ts';
import { openStatusServer } from '../../gateway/telemetry/status-server.ts';

async function rig(text: () => Promise<string> = async () => 'a_metric 1\n') {
  const lifecycle = new Lifecycle({ clock: systemClock, log: silentLog });
  const server = await openStatusServer({
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    readiness: lifecycle,
    metrics: { contentType: 'text/plain; version=0.0.4', text },
    log: silentLog,
  });
  assert.ok(server.address.kind === 'tcp');
  const base = `http://127.0.0.1:${server.address.port}`;
  return {
    lifecycle,
    ask: async (path: string, method = 'GET') => {
      const response = await fetch(`${base}${path}`, { method, headers: { connection: 'close' } });
      return { status: response.status, body: await response.text(), type: response.headers.get('content-type') };
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

test('readyz names what is pending and follows the drain; livez stays', async () => {
  await using r = await rig();
  const task = r.lifecycle.begin('jump-listener');
  assert.deepEqual(await r.ask('/readyz'), {
    status: 503,
    body: 'starting\npending: jump-listener\n',
    type: 'text/plain; charset=utf-8',
  });
  assert.equal((await r.ask('/livez')).status, 200);
  task[Symbol.dispose]();
  assert.equal((await r.ask('/readyz?verbose')).status, 200);
  await r.lifecycle.shutdown({ deadlineMs: 1 });
  assert.deepEqual([(await r.ask('/readyz')).status, (await r.ask('/livez')).status], [503, 200]);
});

test('metrics come with their type; only GET, and only these three paths', async () => {
  await using r = await rig();
  assert.deepEqual(await r.ask('/metrics'), { status: 200, body: 'a_metric 1\n', type: 'text/plain; version=0.0.4' });
  for (const path of ['/', '/v1/status', '/metrics/', '//metrics', '/debug/pprof'])
    assert.equal((await r.ask(path)).status, 404, path);
  for (const method of ['POST', 'PUT', 'DELETE']) assert.equal((await r.ask('/metrics', method)).status, 405, method);
});

test('metrics that fail are 500 without the reason', async () => {
  await using r = await rig(() => Promise.reject(new Error('secret')));
  assert.deepEqual(await r.ask('/metrics'), { status: 500, body: 'failed\n', type: 'text/plain; charset=utf-8' });
});

test('a port in use is one line that says what to do', async () => {
  const lifecycle = new Lifecycle({ clock: systemClock, log: silentLog });
  const metrics = { contentType: '', text: async () => '' };
  const first = await openStatusServer({
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    readiness: lifecycle,
    metrics,
    log: silentLog,
  });
  await assert.rejects(
    openStatusServer({ address: first.address, readiness: lifecycle, metrics, log: silentLog }),
    /cannot listen on 127\.0\.0\.1:\d+: another process does; stop it or choose another address/,
  );
  await first[Symbol.asyncDispose]();
});
