/** State that is written when the power goes: after a kill before each operation on files it is the old or the new. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { silentLog } from '../../base/log.ts';
import { distrustCopy } from '../../trust-bundles/distrust/distrust-copy.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { readRootSet } from '../../trust-bundles/rotation/root-file.ts';
import { readOwnSequence } from '../../trust-bundles/source/own-sequence.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** Far more than one write takes. */
const STEPS_MAX = 40;

/** What can be read of each kind: the first state, then the second. */
const kinds: Readonly<Record<string, (directory: string) => Promise<unknown>>> = {
  ca: async (path) => (await readRootSet(join(path, 'embedded-ca.json'), parseTrustDomain('us.test')))?.roots.length,
  sequence: async (path) => Number((await readOwnSequence(join(path, 'own'), silentLog)) ?? 0n) - 9_999_999_998,
  quarantine: async (path) => (await distrustCopy(join(path, 'copy'), silentLog).read())[0]?.revision,
};

for (const [kind, read] of Object.entries(kinds)) {
  test(`L2: the state of kind ${kind}, killed before each operation on files, is the old or the new`, async () => {
    using directory = temporaryDirectory();
    const found: unknown[] = [];
    for (let step = 0; step < STEPS_MAX; step += 1) {
      const path = join(directory.path, String(step));
      mkdirSync(path, { mode: 0o700 });
      const program = ['test/support/killed-writer.ts', kind, path, String(step)];
      const child = spawn(process.execPath, program, { stdio: ['ignore', 'ignore', 'inherit'] });
      await once(child, 'exit');
      found.push(await read(path));
      if (child.exitCode === 0) break;
      assert.equal(child.signalCode, 'SIGKILL');
    }
    // Before open, mode, content, sync and rename it is the old; before the directory's open and sync, and at the end, the new.
    assert.deepEqual(found, [1, 1, 1, 1, 1, 2, 2, 2]);
  });
}
