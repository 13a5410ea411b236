/** LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES: what is taken, what is for somebody else, what is refused. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { activatedSockets } from '../../gateway/process/activation.ts';

const given = (fds: string | undefined, names: string | undefined, pid: string | undefined = '7') =>
  activatedSockets({ LISTEN_PID: pid, LISTEN_FDS: fds, LISTEN_FDNAMES: names }, 7);

test('sockets are named by their units and count from descriptor 3', () => {
  assert.deepEqual(given('2', 'jump:outbound[0]'), [
    { name: 'jump', fd: 3 },
    { name: 'outbound[0]', fd: 4 },
  ]);
});

test('without activation, and for another process, there are none', () => {
  assert.deepEqual(activatedSockets({}, 7), []);
  assert.deepEqual(given('1', 'jump', '8'), []);
});

for (const [what, fds, names, pid] of [
  ['no count', undefined, 'jump', '7'],
  ['a count of 0', '0', '', '7'],
  ['a count of 65', '65', 'a'.repeat(65).split('').join(':'), '7'],
  ['a count that is no number', '1x', 'jump', '7'],
  ['a count with a sign', '+1', 'jump', '7'],
  ['a count with a leading zero', '01', 'jump', '7'],
  ['no names', '1', undefined, '7'],
  ['fewer names than sockets', '2', 'jump', '7'],
  ['more names than sockets', '1', 'jump:edge', '7'],
  ['an empty name', '2', 'jump:', '7'],
  ['a control character', '1', 'ju\nmp', '7'],
  ['a name of 256 characters', '1', 'a'.repeat(256), '7'],
  ['the same name twice', '2', 'jump:jump', '7'],
  ['a process id that is none', '1', 'jump', '-7'],
] as const) {
  test(`${what} is refused`, () => {
    assert.throws(() => given(fds, names, pid), { code: 'activation-malformed', source: 'config' });
  });
}

test('64 sockets and a name of 255 characters are taken', () => {
  const names = Array.from({ length: 64 }, (_, index) => (index === 0 ? 'a'.repeat(255) : `edge-${index}`));
  assert.equal(given('64', names.join(':')).length, 64);
});

test('the socket units that ship name a listener and start the service that ships', () => {
  const directory = join(import.meta.dirname, '../../deploy/systemd');
  const units = readdirSync(directory).filter((name) => name.endsWith('.socket'));
  assert.ok(units.length >= 2);
  for (const unit of units) {
    const text = readFileSync(join(directory, unit), 'utf8');
    assert.match(text, /^FileDescriptorName=(jump|outbound\[0\])$/m);
    assert.match(text, /^Service=jumpgate\.service$/m);
    assert.equal(text.match(/^ListenStream=/gm)?.length, 1, 'one address a unit, since a unit has one name');
  }
});
