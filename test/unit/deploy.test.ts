/** What is shipped to run: the container file and the systemd unit start the gateway itself, and with little power. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

const root = join(import.meta.dirname, '../..');
const container = readFileSync(join(root, 'deploy/Containerfile'), 'utf8');
const unit = readFileSync(join(root, 'deploy/systemd/jumpgate.service'), 'utf8');

const setting = (name: string): string | undefined => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1];

test('the container starts bin/node with the entry as process 1, not as root', () => {
  const entry = /^ENTRYPOINT (.*)$/m.exec(container)?.[1] ?? '';
  assert.deepEqual(JSON.parse(entry), ['/bin/sh', '/opt/jumpgate/bin/node', '/opt/jumpgate/gateway/main.ts']);
  assert.match(container, /^USER 65532:65532$/m);
  assert.ok(container.indexOf('USER 65532') > container.lastIndexOf('\nRUN '), 'nothing is made writable afterwards');
});

test('the container holds every folder that the entry needs, and each of them is here', () => {
  const copied = [...container.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, paths]) => paths?.split(' ') ?? []);
  for (const needed of ['bin', 'base', 'trust-bundles', 'federation', 'gateway', 'package.json', 'package-lock.json'])
    assert.ok(copied.includes(needed), needed);
  for (const path of copied) assert.ok(existsSync(join(root, path)), path);
});

test('the unit starts bin/node with the entry, drains before it is killed, and does not restart on bad configuration', () => {
  assert.equal(
    setting('ExecStart'),
    '/bin/sh /opt/jumpgate/bin/node /opt/jumpgate/gateway/main.ts run -f /etc/jumpgate',
  );
  assert.equal(setting('KillSignal'), 'SIGTERM');
  assert.ok(Number.parseInt(setting('TimeoutStopSec') ?? '0', 10) > 30);
  assert.equal(setting('RestartPreventExitStatus'), '2');
});

test('the unit gives the gateway its state directory and little else', () => {
  for (const [name, value] of [
    ['NoNewPrivileges', 'yes'],
    ['ProtectSystem', 'strict'],
    ['DynamicUser', 'yes'],
    ['StateDirectoryMode', '0700'],
    ['UMask', '0077'],
    ['LimitCORE', '0'],
    ['CapabilityBoundingSet', 'CAP_NET_BIND_SERVICE'],
  ] as const)
    assert.equal(setting(name), value, name);
  assert.equal(setting('MemoryDenyWriteExecute'), undefined, 'V8 would not start');
});
