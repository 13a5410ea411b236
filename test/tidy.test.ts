/** The style of the house as a test: who may import whom, doors, lengths, banned words. Loosen nothing here to pass. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import test from 'node:test';
import ts from 'typescript';

const root = join(import.meta.dirname, '..');
const LAYERS = ['base', 'trust-bundles', 'federation', 'gateway'] as const;
const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

/** Third-party packages and the one place where each enters. */
const DOORS: Readonly<Record<string, RegExp>> = {
  'node-forge': /^trust-bundles\/x509\/(issue|anchors)\.ts$/,
  ioredis: /^base\/store\/redis(-[a-z]+)?\.ts$/,
  '@grpc/grpc-js':
    /^(federation\/peering\/(client|server)|trust-bundles\/(source|serve)\/workload-api|gateway\/authorize\/[a-z-]+|gateway\/demo\/grpc-[a-z-]+)\.ts$/,
  fastify: /^(gateway\/admin\/[a-z-]+|trust-bundles\/serve\/bundle-endpoint)\.ts$/,
  yaml: /^base\/config\/[a-z-]+\.ts$/,
  'prom-client': /^gateway\/telemetry\/metrics\.ts$/,
  'node:tls': /^trust-bundles\/tls\/[a-z-]+\.ts$/,
  'node:http2': /^gateway\/demo\/[a-z0-9-]+\.ts$/,
  '@bufbuild/protobuf':
    /^(federation\/peering\/[a-z-]+|trust-bundles\/((source|serve)\/workload-api|workload-api-proto\/[a-z-]+)|gateway\/demo\/[a-z-]+)\.ts$/,
};

/** Inside the gateway: a folder and what it may not import. */
const ROOMS: readonly { readonly room: RegExp; readonly mayNotImport: RegExp; readonly because: string }[] = [
  {
    room: /^gateway\/outbound\//,
    mayNotImport: /^gateway\/(inbound|edge|tcp)\//,
    because: 'the ways a call enters do not know each other',
  },
  {
    room: /^gateway\/inbound\//,
    mayNotImport: /^gateway\/(outbound|edge|tcp)\//,
    because: 'the ways a call enters do not know each other',
  },
  {
    room: /^gateway\/edge\//,
    mayNotImport: /^gateway\/(outbound|inbound|tcp)\//,
    because: 'the ways a call enters do not know each other',
  },
  {
    room: /^gateway\/(http1|http2|message)\//,
    mayNotImport:
      /^(node:(net|tls|http|https|timers)|federation\/|trust-bundles\/|gateway\/(?!(message|http1|http2)\/))/,
    because: 'the protocols are pure: bytes in, bytes and events out',
  },
  { room: /^gateway\/routing\//, mayNotImport: /^gateway\/link\//, because: 'routing never imports link' },
  {
    room: /^gateway\/(http1|http2|forward|headers|refusal|routing|link|outbound|inbound|edge|telemetry)\//,
    mayNotImport: /^gateway\/(admin|cli|process|demo|app|main)/,
    because: 'composition is gateway/app',
  },
  {
    room: /^gateway\/admin\//,
    mayNotImport: /^gateway\/(cli|demo|app|main)/,
    because: 'the admin API serves an interface',
  },
  {
    room: /^gateway\/cli\//,
    mayNotImport: /^gateway\/(?!cli\/|demo\/|admin\/operations)/,
    because: 'live verbs speak to the admin API only',
  },
  {
    room: /^federation\/(policy|snapshot)\//,
    mayNotImport: /^(base\/(clock|store|lifetime)|federation\/peering)/,
    because: 'policy and snapshot are pure',
  },
  {
    room: /^federation\/resources\//,
    mayNotImport: /^federation\/(peering|snapshot)\//,
    because: 'resources come first',
  },
];

const BANNED: readonly { readonly text: RegExp; readonly except: RegExp; readonly because: string }[] = [
  {
    text: /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/,
    except: /^base\/clock\.ts$/,
    because: 'time only through Clock',
  },
  { text: /\bset(Timeout|Interval)\(/, except: /^base\/clock\.ts$/, because: 'time only through Clock' },
  { text: /\bprocess\.env\b/, except: /^gateway\/main\.ts$/, because: 'the environment is read in gateway/main' },
  { text: /\bconsole\./, except: /^$/, because: 'output goes to injected streams or the log' },
  { text: /\.authorized\b|\bauthorizationError\b/, except: /^$/, because: "Node's verdict is never read" },
  { text: /['"](newSession|resumeSession)['"]/, except: /^$/, because: 'these listeners bring TLS resumption back' },
  { text: /\bnew URL\(.*spiffe/i, except: /^$/, because: 'WHATWG URL normalises SPIFFE IDs' },
  { text: /\bMath\.random\(/, except: /^base\/jitter\.ts$/, because: 'randomness is crypto or base/jitter' },
  { text: /\b(execSync|eval\(|new Function\()/, except: /^$/, because: 'no shells, no eval' },
  { text: /@ts-(ignore|expect-error|nocheck)|eslint-disable/, except: /^$/, because: 'checks are obeyed' },
];

interface Source {
  readonly path: string;
  readonly text: string;
  readonly tree: ts.SourceFile;
  readonly imports: readonly string[];
}

const sources: readonly Source[] = LAYERS.flatMap(sourcesIn);
const tests: readonly Source[] = sourcesIn('test');

function sourcesIn(folder: string): readonly Source[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.includes('generated/'))
    .map((path) => read(join(folder, path)));
}

function read(path: string): Source {
  const text = readFileSync(join(root, path), 'utf8');
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.ES2024, true);
  const imports = tree.statements
    .filter((statement) => ts.isImportDeclaration(statement) || ts.isExportDeclaration(statement))
    .flatMap(({ moduleSpecifier }) =>
      moduleSpecifier && ts.isStringLiteral(moduleSpecifier) ? [moduleSpecifier.text] : [],
    )
    .map((name) => (name.startsWith('.') ? posix.normalize(posix.join(dirname(path), name)) : name));
  return { path, text, tree, imports };
}

const layerOf = (path: string): number => LAYERS.findIndex((layer) => path.startsWith(`${layer}/`));

function problems(find: (source: Source) => readonly string[], judged = sources): readonly string[] {
  return judged.flatMap((source) => find(source).map((what) => `${source.path}: ${what}`));
}

test('there are sources to judge', () => {
  assert.ok(sources.length > 50, `only ${sources.length} files found`);
});

test('imports point to the left: base, trust-bundles, federation, gateway', () => {
  const wrong = problems(({ path, imports }) =>
    imports
      .filter((name) => layerOf(name) > layerOf(path) || name.startsWith('test/'))
      .map((name) => `imports ${name}`),
  );
  assert.deepEqual(wrong, []);
});

test('no imports go in a circle', () => {
  const graph = new Map(sources.map(({ path, imports }) => [path, imports]));
  const state = new Map<string, 'open' | 'done'>();
  const circles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'open') circles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
    if (state.has(path)) return;
    state.set(path, 'open');
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    state.set(path, 'done');
  };
  for (const path of graph.keys()) visit(path, []);
  assert.deepEqual(circles, []);
});

test('third-party packages enter by their doors only', () => {
  const wrong = problems(({ path, imports }) =>
    imports
      .filter((name) =>
        Object.entries(DOORS).some(
          ([door, place]) => (name === door || name.startsWith(`${door}/`)) && !place.test(path),
        ),
      )
      .map((name) => `imports ${name}`),
  );
  assert.deepEqual(wrong, []);
});

test('no package enters that has no door', () => {
  const wrong = problems(({ imports }) =>
    imports.filter(
      (name) =>
        !name.startsWith('node:') &&
        layerOf(name) < 0 &&
        !Object.keys(DOORS).some((door) => name === door || name.startsWith(`${door}/`)),
    ),
  );
  assert.deepEqual(wrong, []);
});

test('a worker loads no package, and nothing of CA, store or documents', () => {
  const files = new Map(sources.map((source) => [source.path, source]));
  const loaded = new Set<string>();
  const visit = (path: string): void => {
    if (loaded.has(path)) return;
    loaded.add(path);
    for (const name of loadedBy(files.get(path))) visit(name);
  };
  visit('gateway/process/worker-process.ts');
  assert.ok(loaded.size > 100, `only ${loaded.size} files`);
  const foreign =
    /^(base\/store\/|base\/config\/(?!object|schema|node|nearest)|trust-bundles\/(source|serve)\/|trust-bundles\/x509\/issue|gateway\/(admin|cli|demo|operations)\/)/;
  const packages = (name: string): boolean => layerOf(name) < 0 && !name.startsWith('node:');
  assert.deepEqual(
    [...loaded].filter((name) => packages(name) || foreign.test(name)),
    [],
  );
});

/** What a file loads when it runs: imports of types are erased. */
function loadedBy(source: Source | undefined): readonly string[] {
  const statements = source?.tree.statements.filter(ts.isImportDeclaration) ?? [];
  const names = statements.flatMap(({ importClause, moduleSpecifier }) => {
    const bindings = importClause?.namedBindings;
    const erased =
      bindings !== undefined && ts.isNamedImports(bindings) && bindings.elements.every((each) => each.isTypeOnly);
    return erased || !ts.isStringLiteral(moduleSpecifier) ? [] : [moduleSpecifier.text];
  });
  const folder = dirname(source?.path ?? '');
  return names.map((name) => (name.startsWith('.') ? posix.normalize(posix.join(folder, name)) : name));
}

test('rooms of the house keep to themselves', () => {
  const wrong = problems(({ path, imports }) =>
    ROOMS.filter(({ room }) => room.test(path)).flatMap(({ mayNotImport, because }) =>
      imports.filter((name) => mayNotImport.test(name)).map((name) => `imports ${name}: ${because}`),
    ),
  );
  assert.deepEqual(wrong, []);
});

test(`no file is longer than ${FILE_LINES_MAX} lines, of the tests neither`, () => {
  const wrong = problems(
    ({ text }) => (text.split('\n').length > FILE_LINES_MAX + 1 ? [`${text.split('\n').length} lines`] : []),
    [...sources, ...tests],
  );
  assert.deepEqual(wrong, []);
});

test(`no function is longer than ${FUNCTION_LINES_MAX} lines`, () => {
  const wrong = problems(({ tree }) => {
    const long: string[] = [];
    const visit = (node: ts.Node): void => {
      if (ts.isFunctionLike(node)) {
        const first = tree.getLineAndCharacterOfPosition(node.getStart()).line;
        const last = tree.getLineAndCharacterOfPosition(node.getEnd()).line;
        if (last - first + 1 > FUNCTION_LINES_MAX)
          long.push(`line ${first + 1}: a function of ${last - first + 1} lines`);
      }
      ts.forEachChild(node, visit);
    };
    visit(tree);
    return long;
  });
  assert.deepEqual(wrong, []);
});

test('banned calls stand nowhere', () => {
  const wrong = problems(({ path, text }) =>
    BANNED.filter(({ except }) => !except.test(path)).flatMap(({ text: banned, because }) => {
      const comments = banned.source.includes('eslint');
      const isComment = (line: string): boolean => /^\s*(\/\/|\*|\/\*)/.test(line);
      const index = text.split('\n').findIndex((line) => banned.test(line) && (comments || !isComment(line)));
      return index < 0 ? [] : [`line ${index + 1}: ${because}`];
    }),
  );
  assert.deepEqual(wrong, []);
});

test('every file says in its first lines what it is', () => {
  assert.deepEqual(
    problems(({ text }) => (/^\/\*\*/.test(text) ? [] : ['starts without a comment'])),
    [],
  );
});

test('every exported function, class and interface has a docstring', () => {
  const wrong = problems(({ tree }) =>
    tree.statements
      .filter(
        (node) =>
          (ts.isFunctionDeclaration(node) || ts.isClassDeclaration(node)) &&
          (node.modifiers ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword),
      )
      .filter((node) => ts.getJSDocCommentsAndTags(node).length === 0)
      .map((node) => `line ${tree.getLineAndCharacterOfPosition(node.getStart()).line + 1} has none`),
  );
  assert.deepEqual(wrong, []);
});

test('every exported name is imported somewhere', () => {
  const imported = new Set([...sources, ...tests].flatMap(importedNames));
  const unused = sources
    .filter(({ path }) => path !== 'gateway/main.ts')
    .flatMap((source) => exportedValues(source).map((name) => [source.path, name] as const))
    .filter(([path, name]) => !imported.has(`${path} ${name}`));
  assert.deepEqual(unused, []);
});

/** `path name` of everything that a file takes from another file of ours by name. */
function importedNames({ path, tree }: Source): readonly string[] {
  return tree.statements.filter(ts.isImportDeclaration).flatMap((node) => {
    const from = ts.isStringLiteral(node.moduleSpecifier) ? node.moduleSpecifier.text : '';
    const bindings = node.importClause?.namedBindings;
    if (!from.startsWith('.') || bindings === undefined || !ts.isNamedImports(bindings)) return [];
    const target = posix.normalize(posix.join(dirname(path), from));
    return bindings.elements.map(({ name, propertyName }) => `${target} ${(propertyName ?? name).text}`);
  });
}

/** Exported functions, classes and constants; types may stand for themselves in a signature. */
function exportedValues({ tree }: Source): readonly string[] {
  const isExported = (node: ts.Node): boolean =>
    ts.canHaveModifiers(node) && (ts.getModifiers(node) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
  return tree.statements.filter(isExported).flatMap((node) => {
    if (ts.isFunctionDeclaration(node) || ts.isClassDeclaration(node))
      return node.name === undefined ? [] : [node.name.text];
    if (!ts.isVariableStatement(node)) return [];
    return node.declarationList.declarations.map(({ name }) => name.getText());
  });
}

test('no barrel files', () => {
  assert.deepEqual(
    problems(({ path, text }) =>
      path.endsWith('/index.ts') || /^export (\*|\{[^}]*\}) from/m.test(text) ? ['re-exports'] : [],
    ),
    [],
  );
});

test('no dependency compiles or downloads when it is installed', () => {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { hasInstallScript?: boolean; resolved?: string }>;
  };
  const scripted = Object.entries(lock.packages)
    .filter(([, entry]) => entry.hasInstallScript === true)
    .map(([path]) => path);
  // protobufjs (under @grpc/proto-loader) prints a warning about version ranges in its script and does nothing else.
  assert.deepEqual(
    scripted.map((path) => relative('node_modules', path)),
    ['protobufjs'],
  );
});
