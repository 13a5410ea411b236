/** What a gateway refuses to lose: its CA. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { type MeshSpec } from '../../federation/resources/values.ts';
import { loadResources } from '../../federation/resources/load.ts';
import { openState } from '../../gateway/process/state.ts';
import { initialFiles } from '../../federation/resources/templates.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { writeFile } from 'node:fs/promises';

async function meshIn(directory: string): Promise<MeshSpec> {
  for (const { file, text } of initialFiles({ trustDomain: parseTrustDomain('a.example.org'), name: 'a' })) {
    await writeFile(join(directory, file), text);
  }
  const loaded = await loadResources(directory);
  assert.equal(loaded.kind, 'ok');
  return loaded.set.mesh.spec;
}

test('a mesh that has run before and has lost its CA refuses to make another one', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'jumpgate-state-'));
  try {
    const spec = await meshIn(directory);
    const first = await openState(spec, systemClock, silentLog);
    const [root] = first.ca!.roots();
    assert.equal(first.instance.epoch, 1n);
    await first[Symbol.asyncDispose]();

    const second = await openState(spec, systemClock, silentLog);
    assert.equal(second.ca!.roots()[0]?.fingerprint, root?.fingerprint);
    assert.deepEqual([second.instance.id, second.instance.epoch], [first.instance.id, 2n]);
    await second[Symbol.asyncDispose]();

    await rm(join(directory, 'state', 'embedded-ca.json'));
    await assert.rejects(openState(spec, systemClock, silentLog), { code: 'ca-state-missing' });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
