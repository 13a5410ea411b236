/** The static checks are part of the suite, so that one command is the whole truth. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import test from 'node:test';

import { CHECKS } from './support/checks.ts';

for (const check of CHECKS.filter(({ name }) => name !== 'tidy')) {
  test(`the ${check.name} check finds nothing`, () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [...check.words], { encoding: 'utf8' });
    assert.equal(status, 0, `${stdout}${stderr}`);
  });
}
