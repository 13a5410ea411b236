/** A directory of YAML documents as one validated value, or every problem at once. */
import { createHash } from 'node:crypto';
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, messageOf } from '../../base/errors.ts';
import { readDocuments, YAML_LIMITS } from '../../base/config/document.ts';
import { type ConfigNode } from '../../base/config/node.ts';
import { ProblemList, type Problem } from '../../base/config/problem.ts';
import { Place } from '../../base/config/schema.ts';
import { checkResources, warningsOf } from './check.ts';
import { type AnyResource, readResource } from './document.ts';
import { readReferencedFiles } from './referenced-files.ts';
import { type ResourceSet } from './values.ts';

/** What a directory holds. `digest` changes when a byte of its YAML does. */
export type Loaded =
  | { readonly kind: 'ok'; readonly set: ResourceSet; readonly warnings: readonly Problem[]; readonly digest: string }
  | { readonly kind: 'problems'; readonly problems: readonly Problem[] };

/** How to load. */
export interface LoadOptions {
  /** Also look into keys, certificates and tokens that documents name (default); else the YAML alone decides. */
  readonly referencedFiles?: boolean;
}

/** More files than this are a wrong directory. */
const FILES_MAX = 1000;

/** Kubernetes may swap its directory while it is read; that many times in a row is no swap any more. */
const SWAP_RETRIES_MAX = 5;

interface SourceFile {
  readonly file: string;
  readonly bytes: Uint8Array;
}

/** Reads every `*.yaml` and `*.yml` directly in `directory`. Places name files as `directory` joined with their name. */
export async function loadResources(directory: string, options: LoadOptions = {}): Promise<Loaded> {
  const problems = new ProblemList();
  const files = await readUnswapped(directory, problems);
  const resources: AnyResource[] = [];
  const declared = new Set<string>();
  for (const { file, bytes } of files) {
    for (const node of readDocuments(bytes, file, problems)) {
      const name = declaredName(node);
      if (name !== undefined) declared.add(name);
      const read = readResource(node, new Place(problems));
      if (read !== null) resources.push(read.value);
    }
  }
  // Where no file could be read, the missing Mesh is no news.
  const checked = files.length === 0 ? undefined : checkResources({ directory, resources, declared }, problems);
  const isWhole = checked === undefined || options.referencedFiles === false;
  const set = isWhole ? checked : await readReferencedFiles(checked, problems);
  if (set === undefined || !problems.empty) return { kind: 'problems', problems: problems.sorted() };
  return { kind: 'ok', set, warnings: warningsOf(set), digest: digestOf(files) };
}

/** `Kind name` of a document that may hold mistakes elsewhere. */
function declaredName(node: ConfigNode): string | undefined {
  const kind = textAt(node, 'kind');
  const metadata = valueAt(node, 'metadata');
  return kind === undefined ? undefined : `${kind} ${(metadata && textAt(metadata, 'name')) ?? ''}`;
}

function valueAt(node: ConfigNode, key: string): ConfigNode | undefined {
  return node.kind === 'map' ? node.entries.find((entry) => entry.key === key)?.value : undefined;
}

function textAt(node: ConfigNode, key: string): string | undefined {
  const value = valueAt(node, key);
  return value?.kind === 'string' ? value.value : undefined;
}

function digestOf(files: readonly SourceFile[]): string {
  const hash = createHash('sha256');
  for (const { file, bytes } of files) hash.update(`${file}\0${bytes.byteLength}\0`).update(bytes);
  return hash.digest('hex');
}

/** Kubernetes swaps the link `..data`; files read before and after a swap do not belong together. */
async function readUnswapped(directory: string, problems: ProblemList): Promise<readonly SourceFile[]> {
  for (let attempt = 1; ; attempt += 1) {
    const before = await dataLink(directory);
    const found = new ProblemList();
    const files = await readFiles(directory, found);
    if (before === (await dataLink(directory)) || attempt === SWAP_RETRIES_MAX) {
      for (const problem of found.sorted()) problems.add(problem);
      return files;
    }
  }
}

async function dataLink(directory: string): Promise<string | undefined> {
  try {
    return await readlink(join(directory, '..data'));
  } catch {
    return undefined;
  }
}

async function readFiles(directory: string, problems: ProblemList): Promise<readonly SourceFile[]> {
  const whole = (message: string): readonly SourceFile[] => {
    problems.add({ origin: { file: directory }, path: '', message });
    return [];
  };
  let names: readonly string[];
  try {
    names = (await readdir(directory)).filter((name) => /^[^.].*\.ya?ml$/.test(name)).sort();
  } catch (error) {
    const why = codeOf(error) === 'ENOENT' ? 'no such directory' : messageOf(error);
    return whole(`cannot read the configuration directory: ${why}`);
  }
  if (names.length === 0) return whole('expected *.yaml or *.yml files in this directory, found none');
  if (names.length > FILES_MAX) return whole(`expected at most ${FILES_MAX} YAML files, found ${names.length}`);
  const files: SourceFile[] = [];
  let bytesLeft = YAML_LIMITS.bytesMax;
  for (const name of names) {
    const file = join(directory, name);
    try {
      const { size, isFile } = await statFile(file);
      bytesLeft -= size;
      if (bytesLeft < 0) return whole(`expected at most ${YAML_LIMITS.bytesMax} bytes of YAML in all, found more`);
      if (isFile) files.push({ file, bytes: await readFile(file) });
      else problems.add({ origin: { file }, path: '', message: 'expected a file, found something else of that name' });
    } catch (error) {
      problems.add({ origin: { file }, path: '', message: `cannot read this file: ${messageOf(error)}` });
    }
  }
  return files;
}

async function statFile(file: string): Promise<{ readonly size: number; readonly isFile: boolean }> {
  const found = await stat(file);
  return { size: found.isFile() ? found.size : 0, isFile: found.isFile() };
}
