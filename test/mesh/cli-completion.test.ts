/** `jumpgate completion bash`, asked by bash itself. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { cliBench } from '../support/cli-bench.ts';

/** What Tab offers behind these words, the last of which is being written. */
function offered(script: string, directory: string, words: readonly string[]): readonly string[] {
  const ask = `COMP_WORDS=(jumpgate "$@"); COMP_CWORD=$#; _jumpgate; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const out = execFileSync('bash', ['-c', `${script}\n${ask}`, 'bash', ...words], { cwd: directory, encoding: 'utf8' });
  return out.split('\n').filter((line) => line !== '');
}

test('bash completes verbs, the first words and options of each, and files where one is meant', async () => {
  await using b = await cliBench();
  const { out: script } = await b.cli(['completion', 'bash'], '', {});
  writeFileSync(join(b.directory, 'roots.pem'), '');
  for (const [words, expected] of [
    [['qu'], ['quarantine']],
    [['quarantine', 'a'], ['add']],
    [['quarantine', 'add', 'a'], []],
    [['quarantine', 'add', '--re'], ['--reason']],
    [['bundles', 'ex'], ['export']],
    [
      ['bundles', 'export', 'self', '--as', 'pk'],
      ['pkcs7', 'pkcs12'],
    ],
    [['bundles', 'export', 'self', '--out', 'ro'], ['roots.pem']],
    [['rotate', '--reh'], ['--rehearse']],
    [['completion', 'z'], ['zsh']],
    [['join', 't'], []],
    [['nothing', '--'], ['--help']],
  ] as const) {
    assert.deepEqual(offered(script, b.directory, words), expected, words.join(' '));
  }
});
