/** Which addresses a gateway dials for a stranger who holds an invite. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { createLog } from '../../base/log.ts';
import { type ServerAddress } from '../../base/net/bind-server.ts';
import { type HostPort } from '../../federation/resources/values.ts';
import { forbiddenAddress, joinerReach, reachUs } from '../../gateway/link/reach.ts';
import { gatewayIdOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { listenMutualTls } from '../../trust-bundles/tls/listen.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { portOf } from '../support/tls.ts';
import { svidSource, testDomain } from '../support/trust.ts';

const PUBLIC: ServerAddress = { kind: 'tcp', host: '0.0.0.0', port: 15_443 };
const LOCAL: ServerAddress = { kind: 'tcp', host: '127.0.0.1', port: 15_443 };
const ownAddresses = (): string[] => ['10.1.2.3', 'fd12::3', '::1'];

test('loopback, link-local, metadata, unspecified, translated and our own addresses are never dialled', () => {
  const refused: readonly (readonly [string, string])[] = [
    ['127.0.0.1', 'loopback'],
    ['127.9.9.9', 'loopback'],
    ['::1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::ffff:7f00:1', 'loopback'],
    ['0.0.0.0', 'unspecified'],
    ['::', 'unspecified'],
    ['169.254.169.254', 'link-local'],
    ['::ffff:169.254.169.254', 'link-local'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'link-local'],
    ['fd00:ec2::254', 'a metadata service'],
    ['100.100.100.200', 'a metadata service'],
    ['192.0.0.192', 'reserved'],
    ['224.0.0.1', 'multicast'],
    ['255.255.255.255', 'reserved'],
    ['64:ff9b::7f00:1', 'a translated IPv4 address'],
    ['2002:7f00:1::', 'a translated IPv4 address'],
    ['::127.0.0.2', 'a translated IPv4 address'],
    ['10.1.2.3', 'of this machine'],
    ['fd12::3', 'of this machine'],
  ];
  for (const [ip, what] of refused) assert.equal(forbiddenAddress(ip, { jump: PUBLIC, ownAddresses }), what, ip);
  for (const ip of ['10.1.2.4', '192.168.0.1', '203.0.113.9', '2001:db8::1', 'fd12::4', '::ffff:10.1.2.4']) {
    assert.equal(forbiddenAddress(ip, { jump: PUBLIC, ownAddresses }), undefined, ip);
  }
});

test('a gateway that is bound to loopback may dial loopback, and nothing else that is forbidden', () => {
  for (const ip of ['127.0.0.1', '::1']) assert.equal(forbiddenAddress(ip, { jump: LOCAL, ownAddresses }), undefined);
  assert.equal(forbiddenAddress('169.254.169.254', { jump: LOCAL, ownAddresses }), 'link-local');
  assert.equal(forbiddenAddress('0.0.0.0', { jump: LOCAL, ownAddresses }), 'unspecified');
});

test('a name is checked by what it resolves to, and only the first four addresses are tried', async () => {
  const asked: string[] = [];
  const lookup = async (host: string): Promise<readonly string[]> => {
    asked.push(host);
    return host === 'nobody.example' ? [] : ['169.254.169.254'];
  };
  const addresses: HostPort[] = ['nobody.example', 'b.example', 'c.example', 'd.example', 'e.example'].map((host) => ({
    host,
    port: 443,
  }));
  const reached = await joinerReach({ jump: LOCAL, clock: systemClock, lookup })(addresses);
  assert.deepEqual(asked, ['nobody.example', 'b.example', 'c.example', 'd.example']);
  assert.deepEqual(
    reached.map(({ address, reachable }) => `${address} ${reachable}`),
    [
      'nobody.example:443 no',
      'b.example:443 unknown',
      'c.example:443 unknown',
      'd.example:443 unknown',
      'e.example:443 unknown',
    ],
  );
  assert.equal(reached[1]?.message, 'not tried: 169.254.169.254 is link-local');
  assert.match(reached[4]?.message ?? '', /only the first 4/);
});

test('an address that does not answer is given up after three seconds', async () => {
  const clock = new ManualClock();
  const never = new Promise<readonly string[]>(() => undefined);
  const reaching = joinerReach({ jump: LOCAL, clock, lookup: () => never })([{ host: 'slow.example', port: 443 }]);
  clock.advance(3_000);
  const [reached] = await reaching;
  assert.deepEqual([reached?.reachable, reached?.message], ['no', 'no answer within 3 s']);
});

test(
  'the listener that is tried out from here sees a whole connection, and logs no refusal',
  { timeout: 20_000 },
  async () => {
    const domain = testDomain('us.example');
    const lines: string[] = [];
    const log = createLog({ level: 'debug', write: (line) => lines.push(line), now: () => 0 });
    const { promise: ended, resolve } = Promise.withResolvers<undefined>();
    await using listener = await listenMutualTls({
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      svid: svidSource(domain.svid('/jumpgate')),
      alpn: ['h2'],
      admit: () => ({ kind: 'rejected', code: 'test', message: 'nobody is admitted' }),
      onConnection: () => undefined,
      stranger: {
        alpn: ['jumpgate-join'],
        onConnection: ({ socket }) => {
          socket.write('settings');
          socket.resume();
          socket.once('end', () => socket.end());
          socket.once('close', (hadError: boolean) => resolve(hadError ? assert.fail('broken off') : undefined));
        },
      },
      log,
      clock: systemClock,
    });
    const self = {
      trustDomain: domain.trustDomain,
      gatewayId: gatewayIdOf(domain.trustDomain),
      addresses: [{ host: '127.0.0.1', port: portOf(listener) }],
      bundleEndpoint: { kind: 'link' as const },
      bundle: domain.bundle,
    };
    const svid = svidSource(domain.svid('/jumpgate'));
    const { signal } = new AbortController();
    const [reached] = await reachUs({ self, svid, tainted: new Set(), clock: systemClock, signal });
    assert.equal(reached?.reachable, 'yes', reached?.message);
    await ended;
    assert.deepEqual(lines, []);
  },
);
