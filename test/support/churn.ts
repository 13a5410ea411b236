/** Two real gateways, and connections to them that come and go: catalogue row N12. */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';

import { codeOf, messageOf } from '../../base/errors.ts';
import { type GatewayPair, PAIR_HOST, startPair } from './gateway-pair.ts';
import { type GatewayProcess } from './gateway-process.ts';
import { endsStream, FRAME, FrameReader, headersFrame, PREFACE, settingsFrame } from './http2-frames.ts';
import { block } from './raw-hpack.ts';
import { type ResourceProbe } from './resources.ts';
import { http1Service } from './sample-services.ts';
import { tcpService } from './tunnel-rig.ts';

const HELLO = readFileSync(join(import.meta.dirname, '../fixtures/client-hello/node-sni-alpn.bin'));
const REQUEST_HTTP1 = `GET / HTTP/1.1\r\nhost: ${PAIR_HOST}\r\nconnection: close\r\n\r\n`;
const FIELDS = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', PAIR_HOST],
] as const;
const REQUEST_HTTP2 = Buffer.concat([PREFACE, settingsFrame([]), headersFrame(1, block(FIELDS))]);
const STATUS_200 = 0x88;
/** No connection of these takes this long on an idle machine. */
const CONNECTION_MS_MAX = 30_000;

/** Enough of an answer to tell what it was. */
const SEEN_BYTES = 60;

/** How a connection comes and goes. */
export type ChurnKind = 'connect' | 'http1' | 'http2' | 'handshake' | 'tunnel';

/** In these shares, of twenty. What costs a call is rarer than what costs none. */
const SHARES: Readonly<Record<ChurnKind, number>> = { connect: 8, http1: 3, http2: 2, handshake: 4, tunnel: 3 };
const ROUND = Object.entries(SHARES).flatMap(([kind, share]) => Array<ChurnKind>(share).fill(kind as ChurnKind));

/** A pair of gateways, and what was connected to it. */
export class Churn implements AsyncDisposable {
  readonly east: GatewayProcess;
  readonly west: GatewayProcess;
  /** Connections that were made, by kind. */
  readonly made = new Map<ChurnKind, number>();
  /** Those that did not go as they should, by kind and what was seen. */
  readonly failed = new Map<string, number>();
  readonly #ports: Pick<GatewayPair, 'outbound' | 'jump' | 'tunnel'>;
  readonly #owned: AsyncDisposableStack;

  private constructor(pair: GatewayPair, owned: AsyncDisposableStack) {
    this.east = pair.east;
    this.west = pair.west;
    this.#ports = pair;
    this.#owned = owned;
  }

  /** Starts all of it, with the probe in each process of both gateways. */
  static async start(probe: ResourceProbe): Promise<Churn> {
    await using stack = new AsyncDisposableStack();
    const http1 = stack.use(await http1Service((_request, response) => response.end('ok')));
    const tcp = stack.use(await tcpService((socket) => socket.pipe(socket)));
    const pair = stack.use(await startPair(probe, { http1, tcp }));
    return new Churn(pair, stack.move());
  }

  /** Makes so many connections of all kinds, some at a time. */
  async connections(count: number, atOnce: number): Promise<void> {
    let next = 0;
    const run = async (): Promise<void> => {
      while (next < count) {
        const turn = next;
        next += 1;
        const kind = ROUND[turn % ROUND.length] ?? 'connect';
        await this.#connection(kind, Math.floor(turn / ROUND.length)).catch((error: unknown) => {
          const what = `${kind}: ${messageOf(error)}`;
          this.failed.set(what, (this.failed.get(what) ?? 0) + 1);
        });
        this.made.set(kind, (this.made.get(kind) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, run));
  }

  async #connection(kind: ChurnKind, turn: number): Promise<void> {
    const { outbound, jump, tunnel } = this.#ports;
    switch (kind) {
      case 'connect':
        return exchange(outbound, turn % 2 === 0 ? 'end' : 'reset', () => true);
      case 'http1':
        return exchange(outbound, Buffer.from(REQUEST_HTTP1), answersHttp1());
      case 'http2':
        return exchange(outbound, REQUEST_HTTP2, answersHttp2());
      case 'handshake':
        // What comes is the server's flight; now and then only half of a hello is sent.
        return turn % 4 === 0
          ? exchange(jump, HELLO.subarray(0, 200), undefined)
          : exchange(jump, HELLO, (bytes) => bytes.length > 0);
      case 'tunnel':
        return exchange(tunnel, Buffer.from('ping'), (bytes) => bytes.toString() === 'ping');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

/**
 * Connects, says `words` (or ends or resets at once), and resets the connection when `enough` says of what came that it
 * is all. Without `enough` it resets as soon as the words are out.
 */
async function exchange(
  port: number,
  words: Buffer | 'end' | 'reset',
  enough: ((bytes: Buffer) => boolean) | undefined,
): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  socket.setTimeout(CONNECTION_MS_MAX, () => socket.destroy(new Error('nothing came')));
  await new Promise<void>((resolve, reject) => {
    let isDone = false;
    let seen = '';
    const done = (): void => {
      isDone = true;
      socket.resetAndDestroy();
    };
    socket.once('connect', () => {
      if (words === 'reset') done();
      else if (words === 'end') leave(socket, () => (isDone = true));
      else socket.write(words, enough === undefined ? done : undefined);
    });
    socket.on('data', (bytes: Buffer) => {
      seen = bytes.toString('latin1', 0, SEEN_BYTES);
      if (!isDone && enough?.(bytes) === true) done();
    });
    socket.once('error', (error) => reject(new Error(codeOf(error) ?? error.message)));
    socket.once('close', () => {
      if (isDone) resolve();
      else reject(new Error(`closed before an answer, after ${JSON.stringify(seen)}`));
    });
  });
}

function leave(socket: Socket, done: () => void): void {
  done();
  socket.resume().end();
}

function answersHttp1(): (bytes: Buffer) => boolean {
  let seen = '';
  return (bytes) => {
    seen += bytes.toString('latin1');
    return seen.startsWith('HTTP/1.1 200 ') && seen.endsWith('ok');
  };
}

function answersHttp2(): (bytes: Buffer) => boolean {
  const reader = new FrameReader();
  let isOk = false;
  return (bytes) => {
    for (const frame of reader.push(bytes)) {
      if (frame.type === FRAME.headers) isOk ||= frame.payload.includes(STATUS_200);
      if (frame.stream === 1 && endsStream(frame)) return isOk;
    }
    return false;
  };
}
