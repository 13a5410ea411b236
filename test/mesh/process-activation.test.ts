/** Socket activation with real descriptors: the whole gateway is replaced on its port under load, and nothing is lost. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';

import { asRecord } from '../../base/brand.ts';
import { until } from '../support/gateway-process.ts';
import { Load, plan, ProcessRig } from '../support/process-rig.ts';

const STAND_IN = join(import.meta.dirname, '..', 'support', 'activation-stand-in.ts');
const activated = (name: string, runs: number) => (words: readonly string[]) => [
  ...words.slice(0, 1),
  STAND_IN,
  name,
  String(runs),
  ...words,
];

test('the whole gateway is replaced on its port under load by socket activation, and no connection is lost', async () => {
  await using rig = new ProcessRig(plan(), activated('jump', 3));
  const to = await rig.address();
  await using load = new Load(to);
  const primaries = (): readonly number[] =>
    rig.lines.map((line) => Number(line['primary'])).filter((pid) => Number.isInteger(pid));
  for (let run = 0; run < 3; run += 1) {
    assert.deepEqual(await rig.address('jump', run), to);
    await load.more(300);
    const pid = primaries()[run] ?? 0;
    if (run === 2) assert.deepEqual(await load.stop(), {});
    process.kill(pid, 'SIGTERM');
    if (run < 2)
      await until(
        'the next primary',
        () => primaries().length === run + 2,
        () => rig.stderr,
      );
  }
  assert.equal(await rig.ended, 0);
  assert.equal(new Set(primaries()).size, 3);
});

test('an inherited socket that no listener claims is an error with one line', async () => {
  await using rig = new ProcessRig(plan(), activated('jmup', 1));
  assert.equal(await rig.ended, 2);
  assert.equal(
    rig.stderr,
    'socket activation: expected the name of a listener (jump), found jmup: mend FileDescriptorName=\n',
  );
});

test('an inherited socket on another port than the Mesh document says is an error with one line', async () => {
  const listeners = [
    { name: 'jump', address: { kind: 'tcp', host: '127.0.0.1', port: 1 }, to: 'workers', forCalls: false },
  ] as const;
  await using rig = new ProcessRig(plan({ listeners }), activated('jump', 1));
  assert.equal(await rig.ended, 2);
  assert.match(
    rig.stderr,
    /^expected the inherited socket of jump to listen on 127\.0\.0\.1:1, found 127\.0\.0\.1:\d+: [^\n]*\n$/,
  );
  assert.equal(asRecord(rig.lines.find((line) => 'bound' in line)), undefined);
});
