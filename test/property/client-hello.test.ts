/** Mutated ClientHellos: whatever the bytes and their pieces, one outcome, and never another name than node:tls reads. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import tls from 'node:tls';
import fc from 'fast-check';

import { type HelloStep } from '../../gateway/tcp/client-hello.ts';
import { alpnExtension, hello, serverNameExtension } from '../support/client-hello-writer.ts';
import { readHello } from '../support/read-hello.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/client-hello');
const EDGE_TLS = join(import.meta.dirname, '../fixtures/edge-tls');
const CORPUS: readonly Buffer[] = [
  ...readdirSync(FIXTURES).map((name) => readFileSync(join(FIXTURES, name))),
  hello({ extensions: [serverNameExtension('a.example'), alpnExtension('h2')] }),
];

/** A change of a few bytes: over-written, cut out, doubled or put in. */
type Mutation = readonly [kind: 'set' | 'cut' | 'double' | 'insert', at: number, value: number];

const mutation = fc.tuple(
  fc.constantFrom('set', 'cut', 'double', 'insert'),
  fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  fc.oneof(fc.constantFrom(0, 1, 2, 3, 16, 22, 127, 128, 255), fc.nat(255)),
) satisfies fc.Arbitrary<Mutation>;

function mutate(bytes: Buffer, [kind, where, value]: Mutation): Buffer {
  const at = Math.floor(where * bytes.length);
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (kind) {
    case 'set':
      return Buffer.concat([before, Buffer.from([value]), after.subarray(1)]);
    case 'cut':
      return Buffer.concat([before, after.subarray(1 + (value % 8))]);
    case 'double':
      return Buffer.concat([before, after.subarray(0, value), after]);
    case 'insert':
      return Buffer.concat([before, Buffer.from([value]), after]);
    default:
      return kind satisfies never;
  }
}

const mutated = fc
  .tuple(fc.constantFrom(...CORPUS), fc.array(mutation, { maxLength: 4 }))
  .map(([bytes, changes]) => changes.reduce(mutate, bytes));

/** Bytes over-written only, so that lengths mostly add up still and both readers look further. */
const overwritten = fc
  .tuple(
    fc.constantFrom(...CORPUS),
    fc.array(
      fc.tuple(fc.constant('set' as const), fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), fc.nat(255)),
      { maxLength: 6 },
    ),
  )
  .map(([bytes, changes]) => changes.reduce(mutate, bytes));

/** Everything but the bytes that came after the decision, which depend on the pieces. */
function decision(step: HelloStep): unknown {
  return step.kind === 'hello' ? ['hello', step.hello] : step;
}

suite('a mutated ClientHello', () => {
  test('has one outcome whatever its pieces, and what is read goes on byte for byte', () => {
    fc.assert(
      fc.property(mutated, fc.integer({ min: 1, max: 600 }), (bytes, piece) => {
        const whole = readHello(bytes);
        const pieces = readHello(bytes, piece);
        assert.deepEqual(decision(pieces), decision(whole));
        if (whole.kind === 'hello') assert.ok(whole.bytes.equals(bytes));
        if (pieces.kind === 'hello') assert.ok(pieces.bytes.equals(bytes.subarray(0, pieces.bytes.length)));
      }),
      { numRuns: 4_000 },
    );
  });

  test('of random bytes after a record header never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const message = Buffer.from([22, 3, 1, 0, bytes.length & 0xff, 1, 0, 0, ...bytes]);
        assert.ok(['incomplete', 'hello', 'refused'].includes(readHello(message).kind));
      }),
      { numRuns: 4_000 },
    );
  });
});

/** A real TLS server that tells the name it was asked for. */
async function nodeServer(
  t: TestContext,
): Promise<(bytes: Buffer) => Promise<{ name: string | undefined; accepted: boolean }>> {
  const key = readFileSync(join(EDGE_TLS, 'edge.key'));
  const cert = readFileSync(join(EDGE_TLS, 'edge.crt'));
  const context = tls.createSecureContext({ key, cert });
  let asked: string | undefined;
  const SNICallback: tls.TlsOptions['SNICallback'] = (name, done) => {
    asked = name;
    done(null, context);
  };
  const server = tls.createServer({ key, cert, SNICallback });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  return async (bytes) => {
    asked = undefined;
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    const answer = new Promise<Buffer | undefined>((resolve) => {
      socket.once('data', resolve);
      socket.once('close', () => resolve(undefined));
    });
    socket.end(bytes);
    const first = await answer;
    socket.destroy();
    return { name: asked, accepted: first?.[0] === 22 };
  };
}

suite('a hello that is read here', () => {
  test('names the server that node:tls reads, also mutated', async (t) => {
    const ask = await nodeServer(t);
    let compared = 0;
    const compare = async (bytes: Buffer): Promise<void> => {
      const ours = readHello(bytes);
      if (ours.kind !== 'hello') return;
      const theirs = await ask(bytes);
      // What it refuses before it looks at names tells nothing.
      if (!theirs.accepted && theirs.name === undefined) return;
      compared += 1;
      assert.equal(ours.hello.serverName, theirs.name?.toLowerCase());
    };
    for (const bytes of CORPUS) await compare(bytes);
    assert.ok(compared >= 7, `${compared} of the corpus were compared`);
    await fc.assert(fc.asyncProperty(fc.oneof(mutated, overwritten), compare), { numRuns: 1_000 });
    assert.ok(compared > 100, `${compared} were compared`);
  });

  test('of a live node:tls client names what it asked for, in any case', async (t) => {
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (bytes) => {
        seen.resolve(readHello(bytes));
        socket.destroy();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const address = server.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    let seen = Promise.withResolvers<HelloStep>();
    for (const servername of ['db.shop.example', 'UPPER.Example', undefined]) {
      seen = Promise.withResolvers();
      const ALPNProtocols = ['h2', 'x'];
      const client = tls.connect({
        port,
        host: '127.0.0.1',
        ALPNProtocols,
        ...(servername === undefined ? {} : { servername }),
      });
      client.on('error', () => undefined);
      const step = await seen.promise;
      client.destroy();
      assert.deepEqual(decision(step), ['hello', { serverName: servername?.toLowerCase(), alpn: ALPNProtocols }]);
    }
  });
});
