/** YAML documents in a directory of their own, and what is said of them. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext } from 'node:test';

import { formatProblem } from '../../base/config/problem.ts';
import { type Loaded } from '../../federation/resources/load.ts';
import { type ResourceSet } from '../../federation/resources/values.ts';

/** A directory with these files, gone with the test. */
export async function directory(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'jg-'));
  t.after(() => rm(path, { recursive: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
  return path;
}

/** A document whose spec begins at line 4, column 7. */
export const doc = (kind: string, name: string, spec: string): string =>
  `apiVersion: jumpgate.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

/** The smallest Mesh. */
export const MESH = doc('Mesh', 'us', '{ trustDomain: us.example }');

/** Problems, or warnings where there are none, as they are shown; `path` is left out of them. */
export function messages(loaded: Loaded, path: string): string[] {
  const all = loaded.kind === 'ok' ? loaded.warnings : loaded.problems;
  return all.map((each) => formatProblem(each).replaceAll(`${path}/`, '').replaceAll(path, 'DIR'));
}

/** The documents; fails with their problems. */
export function setOf(loaded: Loaded): ResourceSet {
  assert.equal(loaded.kind, 'ok', loaded.kind === 'problems' ? loaded.problems.map(formatProblem).join('\n') : '');
  return loaded.set;
}
