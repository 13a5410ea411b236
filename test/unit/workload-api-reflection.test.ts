/** Health checking and reflection on a Workload API socket, as tools that know nothing of it ask. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { create, createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

import { HEALTH_CHECK, HEALTH_LIST, HEALTH_WATCH } from '../../trust-bundles/workload-api-proto/health-methods.ts';
import { REFLECTION_V1, REFLECTION_V1_ALPHA } from '../../trust-bundles/workload-api-proto/reflection.ts';
import { callWorkloadApi, serveTestWorkload, SPREAD_MS, type WorkloadCaller } from '../support/workload-api.ts';

const SERVICES = [
  'SpiffeWorkloadAPI',
  'grpc.health.v1.Health',
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
];
const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;

type Question = NonNullable<Parameters<typeof REFLECTION_V1.requestSerialize>[0]['messageRequest']>;
type Reply = ReturnType<typeof REFLECTION_V1.responseDeserialize>;

async function ask(caller: WorkloadCaller, wire: typeof REFLECTION_V1, question: Question): Promise<Reply> {
  const [reply] = await caller.exchange(wire, [{ messageRequest: question }]);
  assert.ok(reply !== undefined);
  return reply;
}

for (const wire of [REFLECTION_V1, REFLECTION_V1_ALPHA]) {
  test(`WS-5: ${wire.path} lists the services and describes each of them whole, without the header`, async () => {
    await using rig = await serveTestWorkload();
    using caller = callWorkloadApi(rig.path, {});
    const { messageResponse: listed } = await ask(caller, wire, { case: 'listServices', value: '' });
    assert.ok(listed.case === 'listServicesResponse');
    assert.deepEqual(
      listed.value.service.map(({ name }) => name),
      SERVICES,
    );
    for (const service of SERVICES) {
      const { messageResponse: found } = await ask(caller, wire, { case: 'fileContainingSymbol', value: service });
      assert.ok(found.case === 'fileDescriptorResponse', service);
      const file = found.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
      // Throws when a type or an imported file is missing.
      const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: file.reverse() }));
      assert.ok((registry.getService(service)?.methods.length ?? 0) > 0, service);
    }
  });
}

test('WS-5: the Workload API is the specification\u2019s, with no method added to it', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path, {});
  const { messageResponse } = await ask(caller, REFLECTION_V1, { case: 'fileByFilename', value: 'workload-api.proto' });
  assert.ok(messageResponse.case === 'fileDescriptorResponse');
  const [file] = messageResponse.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
  assert.deepEqual(
    file?.service.map(({ name, method }) => [name, method.map((each) => each.name)]),
    [
      [
        'SpiffeWorkloadAPI',
        [
          'FetchX509SVID',
          'FetchX509Bundles',
          'FetchJWTSVID',
          'FetchJWTBundles',
          'ValidateJWTSVID',
          'FetchWITSVID',
          'FetchWITBundles',
        ],
      ],
    ],
  );
});

test('a symbol that is not there, and a question that is none, are answered as the protocol says', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path, {});
  const replies = await caller.exchange(REFLECTION_V1, [
    { messageRequest: { case: 'fileContainingSymbol', value: 'no.such.Thing' } },
    { messageRequest: { case: 'fileByFilename', value: '__proto__' } },
    { messageRequest: { case: 'fileContainingSymbol', value: 'SpiffeWorkloadAPI.FetchX509SVID' } },
    { messageRequest: { case: 'allExtensionNumbersOfType', value: 'X509SVID' } },
    {},
  ]);
  assert.deepEqual(
    replies.map(({ messageResponse: { case: kind, value } }) => [kind, kind === 'errorResponse' ? value.errorCode : 0]),
    [
      ['errorResponse', 5],
      ['errorResponse', 5],
      ['fileDescriptorResponse', 0],
      ['errorResponse', 5],
      ['errorResponse', 12],
    ],
  );
});

test('health is that SVIDs can be had: for the server, for each service, and for nothing else', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path, {});
  for (const service of ['', ...SERVICES]) {
    assert.equal((await caller.unary(HEALTH_CHECK, { service })).status, SERVING, service);
  }
  assert.deepEqual(Object.keys((await caller.unary(HEALTH_LIST, {})).statuses), ['', ...SERVICES]);
  await assert.rejects(caller.unary(HEALTH_CHECK, { service: 'other' }), /^Error: NOT_FOUND/);
  rig.failure = new Error('no root');
  rig.signer = 'second';
  assert.equal((await caller.unary(HEALTH_CHECK, {})).status, NOT_SERVING);
});

test('a watch of health tells each change, and is held open for a service that is not there', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path, {});
  const watch = caller.stream(HEALTH_WATCH, { service: 'SpiffeWorkloadAPI' });
  const other = caller.stream(HEALTH_WATCH, { service: 'other' });
  assert.equal((await watch.next()).status, SERVING);
  assert.equal((await other.next()).status, SERVICE_UNKNOWN);
  rig.refusal = 'it is quarantined';
  rig.changed();
  rig.clock.advance(SPREAD_MS);
  assert.equal((await watch.next()).status, NOT_SERVING);
  rig.refusal = undefined;
  rig.changed();
  rig.clock.advance(SPREAD_MS);
  assert.equal((await watch.next()).status, SERVING);
});
