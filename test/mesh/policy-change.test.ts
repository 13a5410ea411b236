/** A change of policy and what is under way: what it does not admit any more is cut within seconds, everything else goes on. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type Duplex } from 'node:stream';
import test from 'node:test';

import { systemClock } from '../../base/clock.ts';
import {
  exported,
  federate,
  GatewayProcess,
  imported,
  mesh,
  MeshDirectory,
  until,
} from '../support/gateway-process.ts';
import { tcpService } from '../support/tunnel-rig.ts';
import { openWebSocket, webSocketService } from '../support/web-socket.ts';

const WEB = 'spiffe://east.example/web';
const OTHER = 'spiffe://east.example/other';
/** From the change of a file to the end of what it forbids. */
const CUT_MS_MAX = 5_000;

const allow = (who: string): string => `{ peers: [east], who: ["${who}"] }`;

function tunnelExport(name: string, port: number, who: string): string {
  return exported(name, 'http1', port, allow(who)).replace('protocol: http1', 'protocol: tcp');
}

function tunnelImport(name: string, service: string, who: string): string {
  return imported(name, 'west', service, who).replace('"] }', '"], listen: "127.0.0.1:0" }');
}

async function echoed(stream: Duplex, text: string): Promise<void> {
  stream.write(text);
  const [chunk] = (await once(stream, 'data')) as [Buffer];
  assert.equal(chunk.toString(), text);
}

async function ended(stream: Duplex): Promise<void> {
  await new Promise<void>((resolve) => {
    stream
      .resume()
      .once('end', resolve)
      .once('error', () => resolve())
      .once('close', resolve);
  });
}

/** The access log's lines of a gateway that hold every one of these. */
function logged(files: MeshDirectory, ...parts: readonly string[]): readonly string[] {
  const lines = readFileSync(join(files.path, 'access.log'), 'utf8').split('\n');
  return lines.filter((line) => parts.every((part) => line.includes(part)));
}

/** Makes a change, and waits for the end of what it concerns. */
async function cutBy(change: () => void, concerned: readonly Duplex[]): Promise<void> {
  const ends = Promise.all(concerned.map(ended));
  const began = systemClock.monotonic();
  change();
  await ends;
  const tookMs = systemClock.monotonic() - began;
  assert.ok(tookMs < CUT_MS_MAX, `cut after ${tookMs} ms`);
}

test('tunnels and WebSockets that a changed rule or import does not admit are cut, and no others', async () => {
  await using echo = await tcpService((socket) => socket.pipe(socket));
  await using chat = await webSocketService('http1', (duplex) => duplex.pipe(duplex));
  const exports = (who: string): string =>
    `${tunnelExport('a', echo.port, who)}---\n${exported('w', 'http1', chat.port, allow(who))}`;
  using westFiles = new MeshDirectory({
    'mesh.yaml': mesh('west'),
    'first.yaml': exports(WEB),
    'second.yaml': `${tunnelExport('b', echo.port, WEB)}---\n${exported('x', 'http1', chat.port, allow(WEB))}`,
  });
  using eastFiles = new MeshDirectory({
    'mesh.yaml': mesh('east'),
    'a.yaml': tunnelImport('a', 'a', WEB),
    'b.yaml': tunnelImport('b', 'b', WEB),
    'w.yaml': imported('w', 'west', 'w', WEB),
    'x.yaml': imported('x', 'west', 'x', WEB),
  });
  await using east = new GatewayProcess(eastFiles.path);
  await using west = new GatewayProcess(westFiles.path);
  await federate(east, west);
  await east.until('the exports to be known', ({ imports }) =>
    imports.every(({ state, protocol }) => state === 'active' && protocol !== null),
  );
  const port = async (name: string): Promise<number> => Number((await east.address(name)).split(':')[1]);
  const dial = async (name: string): Promise<Duplex> =>
    connect({ host: '127.0.0.1', port: await port(`import ${name}`) });
  const outbound = await port('outbound[0]');
  const [a, b] = [await dial('a'), await dial('b')];
  using w = await openWebSocket('http1', outbound, { host: 'w.west.mesh.internal' });
  using x = await openWebSocket('http1', outbound, { host: 'x.west.mesh.internal' });
  for (const stream of [a, b, w.duplex, x.duplex]) await echoed(stream, 'hello');

  await cutBy(() => westFiles.write('first.yaml', exports(OTHER)), [a, w.duplex]);
  for (const stream of [b, x.duplex]) await echoed(stream, 'the rules of others have changed');
  await until('the exporter to say why', () => logged(westFiles, '"reason":"denied-by-export"').length === 2);
  assert.equal(logged(westFiles, '"method":"CONNECT"', '"export":"a"', '"status":200', '"verdict":"denial"').length, 1);

  await cutBy(() => eastFiles.write('b.yaml', tunnelImport('b', 'b', OTHER)), [b]);
  await echoed(x.duplex, 'another import has changed');
  await until(
    'the importer to say why',
    () => logged(eastFiles, '"import":"b"', '"reason":"denied-by-import"').length === 1,
  );

  await cutBy(() => eastFiles.remove('x.yaml'), [x.duplex]);
  await until('the importer to say why', () => logged(eastFiles, '"import":"x"', '"reason":"no-route"').length === 1);
  await until('nothing to be left open', () => echo.sockets.size === 0);
});
