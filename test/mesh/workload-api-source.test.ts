/** Our identity from a Workload API, over real gRPC on a Unix socket: the client's lines of the specification. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';

import { status } from '@grpc/grpc-js';

import { systemClock } from '../../base/clock.ts';
import { createLog } from '../../base/log.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type IdentitySource } from '../../trust-bundles/source/identity-source.ts';
import { OwnSequence } from '../../trust-bundles/source/own-sequence.ts';
import { openWorkloadApiIdentity } from '../../trust-bundles/source/workload-api.ts';
import { readWorkloadApiAddress } from '../../trust-bundles/source/workload-api-address.ts';
import { until } from '../support/gateways.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { testDomain } from '../support/trust.ts';
import { serveTestWorkload } from '../support/workload-api.ts';
import {
  standInWorkloadApi,
  type SvidFields,
  svidFields,
  type WorkloadApiStandIn,
} from '../support/workload-api-stand-in.ts';

const us = testDomain('us.test');
const gatewayId = parseSpiffeId('spiffe://us.test/ns/mesh/sa/gateway');
const gateway = (hint?: string): ReturnType<typeof svidFields> => svidFields(us, us.svid('/ns/mesh/sa/gateway'), hint);
const web = (hint?: string): ReturnType<typeof svidFields> => svidFields(us, us.svid('/ns/shop/sa/web'), hint);

interface Rig {
  readonly api: WorkloadApiStandIn;
  readonly source: IdentitySource;
  readonly lines: string[];
}

async function rig(t: TestContext, options: { hint?: string; first?: SvidFields[] } = {}): Promise<Rig> {
  const state = temporaryDirectory();
  const api = await standInWorkloadApi();
  if (options.first !== undefined) api.say(...options.first);
  const lines: string[] = [];
  const log = createLog({ level: 'info', write: (line) => void lines.push(line), now: () => 0 });
  const clock = systemClock;
  const source = openWorkloadApiIdentity({
    socket: api.socket,
    gatewayId,
    hint: options.hint,
    sequence: new OwnSequence({ path: join(state.path, 'own-bundle.json'), last: 0n, clock, log }),
    refreshHintSeconds: 300,
    clock,
    log,
    backoff: { minMs: 5, maxMs: 20 },
  });
  t.after(async () => {
    await source[Symbol.asyncDispose]();
    await api[Symbol.asyncDispose]();
    state[Symbol.dispose]();
  });
  return { api, source, lines };
}

const held = (source: IdentitySource): Promise<void> => until('an SVID', () => source.svid.current() !== undefined);
const leaf = (source: IdentitySource): string => Buffer.from(source.svid.current()?.chain[0] ?? []).toString('hex');
const leafOf = (fields: ReturnType<typeof svidFields>): string =>
  Buffer.from((fields as { x509Svid: Uint8Array }).x509Svid).toString('hex');
const problemOf = (source: IdentitySource): string | undefined => source.status().problem?.code;

test('WC-2: an address is unix with an absolute path, or tcp with an IP and a port, and nothing else', () => {
  const good = ['unix:///run/agent.sock', 'unix:/run/agent.sock', 'tcp://127.0.0.1:8081', 'tcp://[::1]:8081'];
  for (const text of good) assert.notEqual(readWorkloadApiAddress(text), undefined, text);
  assert.deepEqual(readWorkloadApiAddress('tcp://[::1]:8081'), { kind: 'tcp', host: '::1', port: 8081 });
  const bad = [
    '',
    '/run/agent.sock',
    'unix:run/agent.sock',
    'unix://run/agent.sock',
    'unix:////run/agent.sock',
    'unix:///run/agent.sock?x',
    'unix:///run/agent.sock#x',
    'unix://user@/run/agent.sock',
    'unix://',
    'UNIX:///run/agent.sock',
    'tcp://localhost:8081',
    'tcp://127.0.0.1',
    'tcp://127.0.0.1:0',
    'tcp://127.0.0.1:65536',
    'tcp://127.0.0.1:8081/path',
    'tcp://user@127.0.0.1:8081',
    'tcp://127.0.0.1:8081?x',
    'tcp://[127.0.0.1]:8081',
    'https://127.0.0.1:8081',
  ];
  for (const text of bad) assert.equal(readWorkloadApiAddress(text), undefined, text);
});

test('WC-1: without an address there is no source, and the error names both places for one', () => {
  const clock = systemClock;
  const log = createLog({ level: 'error', write: () => undefined, now: () => 0 });
  const sequence = new OwnSequence({ path: '/nowhere', last: 0n, clock, log });
  const shared = { gatewayId, hint: undefined, sequence, refreshHintSeconds: 300, clock, log };
  assert.throws(() => openWorkloadApiIdentity({ ...shared, socket: undefined }), {
    code: 'workload-api-address',
    message: /identity\.workloadApi\.socket .*found neither that nor SPIFFE_ENDPOINT_SOCKET/,
  });
});

test('WC-3: every call carries workload.spiffe.io: true, also the second', async (t) => {
  const { api, source } = await rig(t, { first: [gateway()] });
  await held(source);
  api.end(status.OK);
  await until('another call', () => api.calls.length >= 2 && api.streams() === 1);
  assert.ok(api.calls.every((metadata) => metadata['workload.spiffe.io'] === 'true'));
});

test('WC-4: the stream is held open, each message replaces the last, and a stream that ends is opened again', async (t) => {
  const [first, second, third] = [gateway(), gateway(), gateway()];
  const { api, source } = await rig(t, { first: [first] });
  await held(source);
  assert.equal(leaf(source), leafOf(first));
  api.say(second);
  await until('the second', () => leaf(source) === leafOf(second));
  assert.equal(api.calls.length, 1);
  api.end(status.OK);
  await until('another call', () => api.calls.length === 2);
  assert.equal(leaf(source), leafOf(second), 'what was held is held between two streams');
  api.say(third);
  await until('the third', () => leaf(source) === leafOf(third));
});

test('WC-5: a root that is missing from the next message is gone, and our sequence says so', async (t) => {
  const next = testDomain('us.test');
  const { api, source } = await rig(t, {
    first: [{ ...gateway(), bundle: Buffer.concat([us.root.certificate, next.root.certificate]) }],
  });
  await held(source);
  const before = source.bundle();
  assert.equal(before?.x509Authorities.length, 2);
  api.say(gateway());
  await until('one root', () => source.bundle()?.x509Authorities.length === 1);
  assert.ok((source.bundle()?.sequence ?? 0n) > (before.sequence ?? 0n));
});

const EMPTY: readonly (readonly [what: string, fields: () => SvidFields[]])[] = [
  ['no SVID at all', () => []],
  ['an empty ID', () => [{ ...gateway(), spiffeId: '' }]],
  ['an empty chain', () => [{ ...gateway(), x509Svid: new Uint8Array() }]],
  ['an empty key', () => [{ ...gateway(), x509SvidKey: new Uint8Array() }]],
  ['an empty bundle', () => [{ ...gateway(), bundle: new Uint8Array() }]],
  ['an empty field in an SVID that is not ours', () => [gateway(), { ...web(), x509SvidKey: new Uint8Array() }]],
];

for (const [what, fields] of EMPTY) {
  test(`WC-6: a message with ${what} is reported and discarded, and the old state stays`, async (t) => {
    const first = gateway();
    const { api, source, lines } = await rig(t, { first: [first] });
    await held(source);
    api.say(...fields());
    await until('the report', () => problemOf(source) === 'workload-api-message');
    assert.equal(leaf(source), leafOf(first));
    assert.match(lines.join(''), /own identity cannot be renewed.*workload-api-message/);
    const next = gateway();
    api.say(next);
    await until('the next', () => leaf(source) === leafOf(next));
    assert.equal(problemOf(source), undefined);
    assert.equal(api.calls.length, 1);
  });
}

test('WC-7: an SVID that is redacted is used no more, nor its bundle, until it is given again', async (t) => {
  const { api, source } = await rig(t, { first: [gateway(), web()] });
  await held(source);
  const changes: string[] = [];
  source.watch((change) => changes.push(change));
  api.say(web());
  await until('nothing to be held', () => source.svid.current() === undefined);
  assert.equal(source.bundle(), undefined);
  assert.equal(problemOf(source), 'svid-redacted');
  assert.match(source.status().problem?.message ?? '', /gives "spiffe:\/\/us\.test\/ns\/shop\/sa\/web"/);
  assert.deepEqual(changes, ['svid', 'bundle']);
  api.say(gateway());
  await held(source);
});

test('WC-7: PermissionDenied takes the identity away, and the server is asked again', async (t) => {
  const { api, source } = await rig(t, { first: [gateway()] });
  await held(source);
  api.onCall = (stream) => void stream.emit('error', { code: status.PERMISSION_DENIED, details: 'no identity issued' });
  api.end(status.PERMISSION_DENIED);
  await until('nothing to be held', () => source.svid.current() === undefined && source.bundle() === undefined);
  assert.equal(problemOf(source), 'workload-api-denied');
  const asked = api.calls.length;
  await until('more calls', () => api.calls.length > asked + 2);
  api.say(gateway());
  await held(source);
});

test('WC-8: of several SVIDs the one with our ID is taken, or the first of those with the hint that is asked for', async (t) => {
  const ours = gateway('internal');
  const byId = await rig(t, { first: [web(), ours] });
  await held(byId.source);
  assert.equal(leaf(byId.source), leafOf(ours));
  const [first, second] = [gateway('internal'), gateway('internal')];
  const byHint = await rig(t, { hint: 'internal', first: [gateway('external'), first, second] });
  await held(byHint.source);
  assert.equal(leaf(byHint.source), leafOf(first));
  const wrong = await rig(t, { hint: 'internal', first: [web('internal'), gateway('external')] });
  await until('the refusal', () => problemOf(wrong.source) === 'svid-redacted');
  assert.equal(wrong.source.svid.current(), undefined);
});

test('WC-9: Unavailable is asked again with what is held kept; InvalidArgument and Unimplemented are not asked again', async (t) => {
  const first = gateway();
  const { api, source } = await rig(t, { first: [first] });
  await held(source);
  let left = 3;
  api.onCall = (stream) => {
    left -= 1;
    if (left > 0) stream.emit('error', { code: status.UNAVAILABLE, details: 'starting' });
  };
  api.end(status.UNAVAILABLE);
  await until('the call that is let be', () => left === 0);
  assert.equal(leaf(source), leafOf(first));
  assert.equal(problemOf(source), 'workload-api-unavailable');
  for (const code of [status.INVALID_ARGUMENT, status.UNIMPLEMENTED]) {
    const refusing = await rig(t, { first: [gateway()] });
    await held(refusing.source);
    refusing.api.end(code);
    await until('the end', () => problemOf(refusing.source) === 'workload-api-refused');
    await until('the word that it is over', () => /not asked again/.test(refusing.lines.join('')));
    assert.equal(refusing.api.calls.length, 1);
  }
});

test('WC-9: an agent that is not there yet is waited for', async (t) => {
  const { api, source } = await rig(t);
  await until('the call', () => api.streams() === 1);
  assert.deepEqual([source.svid.current(), source.bundle()], [undefined, undefined]);
  api.say(gateway());
  await held(source);
});

const HOSTILE: readonly (readonly [what: string, fields: () => SvidFields[], code: string])[] = [
  ['garbage for a chain', () => [{ ...gateway(), x509Svid: Buffer.from('garbage') }], 'workload-api-message'],
  [
    'a chain cut short',
    () => [{ ...gateway(), x509Svid: us.root.certificate.subarray(0, 99) }],
    'workload-api-message',
  ],
  ['garbage for a key', () => [{ ...gateway(), x509SvidKey: Buffer.from('garbage') }], 'workload-api-message'],
  ['a huge key', () => [{ ...gateway(), x509SvidKey: Buffer.alloc(20_000, 48) }], 'workload-api-message'],
  ['garbage for a bundle', () => [{ ...gateway(), bundle: Buffer.from('garbage') }], 'workload-api-message'],
  [
    'certificates that are none in a bundle',
    () => [{ ...gateway(), bundle: Buffer.from([0x30, 0]) }],
    'svid-unverified',
  ],
  [
    'a bundle of 257',
    () => [{ ...gateway(), bundle: Buffer.concat(Array(257).fill(us.root.certificate)) }],
    'workload-api-message',
  ],
  [
    'a chain of 17',
    () => [{ ...gateway(), x509Svid: Buffer.concat(Array(17).fill(us.root.certificate)) }],
    'workload-api-message',
  ],
  [
    '257 SVIDs',
    () =>
      Array.from({ length: 257 }, () => ({ ...gateway() }))
        .slice(0, 1)
        .flatMap((one) => Array<SvidFields>(257).fill(one)),
    'workload-api-message',
  ],
  [
    'a key of another certificate',
    () => [{ ...gateway(), x509SvidKey: (web() as { x509SvidKey: Uint8Array }).x509SvidKey }],
    'svid-key-mismatch',
  ],
  ['the SVID of another under our ID', () => [{ ...web(), spiffeId: gatewayId }], 'svid-id-mismatch'],
  [
    'a bundle that does not vouch for it',
    () => [{ ...gateway(), bundle: Buffer.from(testDomain('us.test').root.certificate) }],
    'svid-unverified',
  ],
];

for (const [what, fields, code] of HOSTILE) {
  test(`A30, WC-10: an answer with ${what} changes nothing, and the stream goes on`, async (t) => {
    const first = gateway();
    const { api, source, lines } = await rig(t, { first: [first] });
    await held(source);
    api.say(...fields());
    await until('the report', () => problemOf(source) !== undefined);
    assert.equal(problemOf(source), code, source.status().problem?.message);
    assert.equal(leaf(source), leafOf(first));
    assert.doesNotMatch(lines.join(''), /PRIVATE/);
    assert.equal(api.calls.length, 1);
  });
}

test('a message beyond 4 MiB, or one that is none, ends the stream and is not taken, and the next one is', async (t) => {
  const first = gateway();
  const { api, source } = await rig(t, { first: [first] });
  await held(source);
  api.say({ ...gateway(), bundle: Buffer.alloc(5 * 1024 * 1024) });
  await until('the report', () => problemOf(source) === 'workload-api-unavailable');
  assert.equal(leaf(source), leafOf(first));
  const next = gateway();
  api.say(next);
  await until('the next', () => leaf(source) === leafOf(next));
});

test('our own Workload API server gives our own client an identity, and one that it refuses later is used no more', async () => {
  using state = temporaryDirectory();
  await using server = await serveTestWorkload();
  const { clock, id } = server;
  const log = createLog({ level: 'error', write: () => undefined, now: () => 0 });
  await using source = openWorkloadApiIdentity({
    socket: `unix://${server.path}`,
    gatewayId: id,
    hint: undefined,
    sequence: new OwnSequence({ path: join(state.path, 'own-bundle.json'), last: 0n, clock, log }),
    refreshHintSeconds: 300,
    clock,
    log,
  });
  await held(source);
  assert.equal(source.svid.current()?.id, id);
  assert.deepEqual(
    source.bundle()?.x509Authorities.map(({ fingerprint }) => fingerprint),
    [server.own.root.fingerprint],
  );
  server.refusal = 'quarantined';
  server.changed();
  await until('nothing to be held', () => source.svid.current() === undefined);
  assert.equal(problemOf(source), 'workload-api-denied');
});
