/** Tests of the YAML reader and the schema engine: places, limits, messages. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDocuments } from '../../base/config/document.ts';
import { duration, parseDuration } from '../../base/config/duration.ts';
import { nearestName } from '../../base/config/nearest.ts';
import { defaulted, notEnforced, object, oneByKey, optional, required } from '../../base/config/object.ts';
import { formatProblem, ProblemList, PROBLEMS_MAX } from '../../base/config/problem.ts';
import { choice, integer, list, parsed, Place, type Schema, text } from '../../base/config/schema.ts';

function documents(source: string | Uint8Array): { count: number; problems: string[] } {
  const problems = new ProblemList();
  const bytes = typeof source === 'string' ? new TextEncoder().encode(source) : source;
  const { length } = readDocuments(bytes, 'a.yaml', problems);
  return { count: length, problems: problems.sorted().map(formatProblem) };
}

function read<T>(schema: Schema<T>, source: string): { value: T | undefined; problems: string[] } {
  const problems = new ProblemList();
  const [node] = readDocuments(new TextEncoder().encode(source), 'a.yaml', problems);
  const value = node === undefined ? null : schema.read(node, new Place(problems));
  return { value: value?.value, problems: problems.sorted().map(formatProblem) };
}

const schema = object('a thing', {
  name: required(text('a name')),
  size: defaulted(integer(1, 9), 5),
  colour: optional(choice(['red', 'green'], ['blue'])),
  items: defaulted(list(object('an item', { id: required(text('an id')) })), []),
  when: notEnforced,
});

test('a valid document is read with its defaults', () => {
  const { value, problems } = read(schema, 'name: a\nitems: [{ id: x }]\n');
  assert.deepEqual(problems, []);
  assert.deepEqual(value, { name: 'a', size: 5, colour: undefined, items: [{ id: 'x' }], when: undefined });
});

test('every problem of a document is told at once, in the order of places', () => {
  const { value, problems } = read(
    schema,
    'nmae: a\nsize: 10\ncolour: gren\nitems:\n  - id: 7\n  - {}\nwhen: { days: mon }\n__proto__: { polluted: 1 }\nconstructor: x\n',
  );
  assert.equal(value, undefined);
  assert.deepEqual(problems, [
    'a.yaml:1:1: unknown key "nmae", did you mean "name"?',
    'a.yaml:1:1: missing key "name", expected a name',
    'a.yaml:2:7: size: expected an integer from 1 to 9, found number 10',
    'a.yaml:3:9: colour: expected one of red, green, found "gren", did you mean "green"?',
    'a.yaml:5:9: items[0].id: expected an id (as text, in quotes), found number 7',
    'a.yaml:6:5: items[1]: missing key "id", expected an id',
    'a.yaml:7:1: "when" is not enforced by this version yet, so it is refused rather than ignored; remove it',
    'a.yaml:8:1: unknown key "__proto__", expected one of name, size, colour, items',
    'a.yaml:9:1: unknown key "constructor", expected one of name, size, colour, items',
  ]);
  assert.equal(Object.hasOwn(Object.prototype, 'polluted'), false);
});

test('a word of the design that is not enforced is refused by name', () => {
  assert.deepEqual(read(schema, 'name: a\ncolour: blue').problems, [
    'a.yaml:2:9: colour: "blue" is not enforced by this version yet, so it is refused rather than ignored; remove it',
  ]);
});

test('scalars are not turned into other types', () => {
  for (const written of [
    '"5"',
    '5.0',
    '5e0',
    '0x5',
    '05',
    '.nan',
    '.inf',
    'true',
    'null',
    '',
    '99999999999999999999',
  ]) {
    const { problems } = read(schema, `name: a\nsize: ${written}`);
    assert.equal(problems.length, 1, written);
    assert.match(problems[0] ?? '', /^a\.yaml:2:\d+: size: expected an integer from 1 to 9, found /, written);
  }
  for (const written of ['yes', 'on', 'no', '1:30', '2027-06-30'])
    assert.equal(read(schema, `name: ${written}`).value?.name, written);
});

test('duplicate keys, merge keys, foreign tags and other versions are refused with their place', () => {
  assert.deepEqual(documents('a: 1\nb:\n  c: 1\n  c: 2\na: 3\n').problems, [
    'a.yaml:4:3: duplicate key "c", first given in line 3',
    'a.yaml:5:1: duplicate key "a", first given in line 1',
  ]);
  assert.match(read(schema, 'name: a\n<<: { size: 1 }').problems.join(), /a\.yaml:2:1: unknown key "<<"/);
  assert.match(documents('a: !secret x').problems.join(), /^a\.yaml:1:4: malformed YAML: .*tag/i);
  assert.match(documents('a: !!binary aGVsbG8=').problems.join(), /^a\.yaml:1:4: /);
  assert.match(documents('%YAML 1.1\n---\na: yes\n').problems.join(), /expected YAML 1\.2/);
});

test('malformed YAML is told with its place, and the other documents are read', () => {
  const { count, problems } = documents('a: [1, 2\nb: 3\n---\nc: 1\n---\n# nothing\n');
  assert.equal(count, 1);
  assert.match(problems[0] ?? '', /^a\.yaml:\d+:\d+: malformed YAML: [a-z]/);
});

test('nesting is read to 64 levels and refused beyond, whatever the depth', () => {
  const nested = (depth: number): string => `${'['.repeat(depth)}1${']'.repeat(depth)}`;
  assert.deepEqual(documents(nested(64)), { count: 1, problems: [] });
  assert.match(documents(nested(65)).problems.join(), /nested at most 64 deep/);
  assert.match(documents('['.repeat(1_000_000)).problems.join(), /nested at most 64 deep/);
  assert.match(documents('- '.repeat(100_000)).problems.join(), /nested at most 64 deep/);
  assert.match(documents(`a: &a ${nested(60)}\nb: [[[[*a]]]]`).problems.join(), /nested at most 64 deep/);
});

test('100 aliases are read and the next one is refused', () => {
  const aliases = (count: number): string => `a: &a x\nb: [${Array(count).fill('*a').join(', ')}]`;
  assert.deepEqual(documents(aliases(100)).problems, []);
  assert.match(documents(aliases(101)).problems.join(), /at most 100 aliases in a file/);
});

test('an alias bomb of few aliases, an alias of itself and one of nothing are refused', () => {
  const bomb = Array.from(
    { length: 9 },
    (_, i) =>
      `k${i}: &k${i} [${Array(9)
        .fill(i === 0 ? 'x' : `*k${i - 1}`)
        .join(', ')}]`,
  );
  assert.match(documents(bomb.join('\n')).problems.join(), /aliases to stand for at most 100000 values/);
  assert.match(documents('a: &a [*a]').problems.join(), /stands within the value that it names/);
  assert.match(documents('a: *b').problems.join(), /names no anchor before it/);
});

test('bytes that are no text, control characters and too many bytes are refused', () => {
  assert.deepEqual(documents(Uint8Array.of(0x61, 0x3a, 0x20, 0xff)).problems, [
    'a.yaml: expected UTF-8 text, found bytes that are none',
  ]);
  assert.deepEqual(documents('a: 1\nb: "\0"\n').problems, ['a.yaml:2:5: unexpected control character U+0000']);
  assert.match(documents(new Uint8Array(10 * 1024 * 1024 + 1)).problems.join(), /at most 10485760 bytes/);
});

test('a hundred thousand keys are checked for duplicates in reasonable time, and messages are bounded', () => {
  const keys = Array.from({ length: 100_000 }, (_, index) => `k${index}: 1`).join('\n');
  const { problems } = read(schema, `${keys}\nname: a`);
  assert.equal(problems.length, PROBLEMS_MAX + 1);
  assert.equal(problems.at(-1), `a.yaml: ${100_000 - PROBLEMS_MAX} more problems`);
});

test('exactly one key chooses a variant', () => {
  const one = oneByKey<string>('files or redis', { files: text('a path'), redis: text('a url') }, ['etcd']);
  assert.equal(read(one, 'files: x').value, 'x');
  assert.deepEqual(read(one, '{}').problems, [
    'a.yaml:1:1: expected exactly one of the keys files, redis, found "none"',
  ]);
  assert.match(read(one, 'files: x\nredis: y').problems.join(), /found "files, redis"/);
  assert.match(read(one, 'etcd: x').problems.join(), /"etcd" is not enforced by this version yet/);
  assert.match(read(one, 'file: x').problems.join(), /did you mean "files"\?/);
  assert.match(read(one, 'toString: x').problems.join(), /unknown key "toString"/);
});

test('durations are read in their units, within bounds', () => {
  assert.equal(parseDuration('1h30m'), 5_400_000);
  assert.equal(parseDuration('250ms'), 250);
  for (const written of ['', '5', '1.5h', '-1s', '30 s', '5m1h', 'h']) assert.equal(parseDuration(written), undefined);
  assert.match(read(duration('1s', '1h'), '2h').problems.join(), /a duration from 1s to 1h.*found "2h"/);
});

test('the nearest name is near, or none', () => {
  assert.equal(nearestName('lisetners', ['listeners', 'identity']), 'listeners');
  assert.equal(nearestName('TrustDomain', ['trustDomain']), 'trustDomain');
  assert.equal(nearestName('xyz', ['listeners']), undefined);
  assert.equal(nearestName('x'.repeat(10_000), ['listeners']), undefined);
});

test('a schema renders to JSON Schema with its required keys and no others', () => {
  const upper = parsed(schema, (value) => ({ value: value.name }));
  const json = upper.json();
  assert.equal(json['additionalProperties'], false);
  assert.deepEqual(json['required'], ['name']);
  assert.deepEqual(Object.keys(json['properties'] as object), ['name', 'size', 'colour', 'items']);
});
