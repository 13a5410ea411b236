/** A raw HTTP/2 client on TCP or TLS: writes any bytes, reads frames without judging them, and waits for what it names. */
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

import {
  codeOf,
  describeFrame,
  endsStream,
  FLAG,
  FRAME,
  FrameReader,
  headersFrame,
  isAck,
  type Pairs,
  pingFrame,
  PREFACE,
  type RawFrame,
  SETTING,
  settingsAckFrame,
  settingsFrame,
} from './http2-frames.ts';
import { block, RawHpackDecoder } from './raw-hpack.ts';

/** A server under test. */
export interface Http2Target {
  readonly port: number;
  /** Whether it speaks TLS (ALPN h2); its certificate is not looked at. */
  readonly tls: boolean;
  /** A path that answers 200 with a body of at least five bytes, once the request has ended. */
  readonly path: string;
  close(): Promise<void>;
}

/** What comes from the server, in its order. */
export type RawEvent =
  { readonly kind: 'frame'; readonly frame: RawFrame } | { readonly kind: 'closed'; readonly code: string };

/** A response as it came. */
export interface RawResponse {
  readonly status: number;
  readonly fields: Pairs;
  readonly trailers: Pairs;
  readonly body: Buffer;
}

/** How long a wait may take before the case counts as hung. */
const BOUND_MS = 5_000;

/** One connection. Events wait in a queue until they are taken. */
export class RawHttp2 {
  readonly target: Http2Target;
  readonly socket: Socket;
  /** The server's settings, from its SETTINGS frames so far. */
  readonly settings = new Map<number, number>();
  /** Everything that came, taken or not. */
  readonly seen: RawFrame[] = [];
  /** Milliseconds since this connection opened at which each of `seen` came. */
  readonly seenAtMs: number[] = [];
  /** Why the connection ended; '' for a FIN. */
  closed: string | undefined;
  /** Fields of each HEADERS of `seen` whose block is whole. */
  readonly fields = new Map<RawFrame, Pairs>();
  /** What was wrong with a block. */
  undecodable: string | undefined;
  readonly #decoder = new RawHpackDecoder();
  #block: { readonly frame: RawFrame; readonly pieces: Buffer[] } | undefined;
  readonly #reader = new FrameReader();
  readonly #queue: RawEvent[] = [];
  readonly #openedAtMs = performance.now();
  readonly #boundMs: number;
  #skippedBytes: number;
  #wake: (() => void) | undefined;

  private constructor(target: Http2Target, socket: Socket, boundMs: number, skippedBytes = 0) {
    this.target = target;
    this.socket = socket;
    this.#boundMs = boundMs;
    this.#skippedBytes = skippedBytes;
    let error = '';
    socket.on('data', (bytes: Buffer) => this.#onBytes(bytes));
    socket.on('error', (cause: Error & { code?: string }) => (error = cause.code ?? cause.message));
    socket.on('end', () => this.#onClosed(error));
    socket.on('close', () => this.#onClosed(error));
  }

  /** Connects; nothing is sent. */
  static async connect(target: Http2Target, boundMs: number = BOUND_MS): Promise<RawHttp2> {
    const { port } = target;
    const host = '127.0.0.1';
    const socket = target.tls
      ? connectTls({ host, port, rejectUnauthorized: false, ALPNProtocols: ['h2'] })
      : connectTcp({ host, port, noDelay: true });
    await once(socket, target.tls ? 'secureConnect' : 'connect');
    return new RawHttp2(target, socket, boundMs);
  }

  /** Connects and exchanges prefaces and acknowledgements, both ways. */
  static async open(
    target: Http2Target,
    options: { readonly settings?: readonly (readonly [number, number])[]; readonly boundMs?: number } = {},
  ): Promise<RawHttp2> {
    const peer = await RawHttp2.connect(target, options.boundMs);
    peer.write(PREFACE, settingsFrame(options.settings ?? [[SETTING.initialWindowSize, 65_535]]));
    let acknowledged = false;
    while (!acknowledged || peer.settings.size === 0) {
      const event = await peer.next();
      if (event.kind === 'closed') throw new Error(`closed in the handshake: ${event.code}`);
      if (event.frame.type !== FRAME.settings) continue;
      acknowledged ||= isAck(event.frame);
      if (isAck(event.frame)) continue;
      peer.write(settingsAckFrame());
      if (event.frame.payload.length === 0) break;
    }
    return peer;
  }

  /** The server's end of a connection that came in: reads what comes after the client's preface. Nothing is sent. */
  static accept(socket: Socket, boundMs: number = BOUND_MS): RawHttp2 {
    const target = { port: socket.localPort ?? 0, tls: false, path: '/', close: async () => undefined };
    return new RawHttp2(target, socket, boundMs, PREFACE.length);
  }

  /** Sends bytes as they are, in one write; what the connection cannot take any more is dropped. */
  write(...bytes: readonly Uint8Array[]): void {
    if (this.closed === undefined && this.socket.writable) this.socket.write(Buffer.concat(bytes));
  }

  /** Resolves when everything written has left this process; false if the connection ended before. */
  async drained(): Promise<boolean> {
    // 'drain' only comes after a write that was refused, so the length is looked at instead.
    while (this.socket.writableLength > 0 && !this.socket.destroyed)
      await new Promise((resolve) => setImmediate(resolve));
    return !this.socket.destroyed;
  }

  /** The fields of a request to the target; `over` replaces pseudo-header fields (`method`, `path`, ...), `more` follows. */
  request(over: Readonly<Record<string, string>> = {}, more: Pairs = []): Pairs {
    const pseudo = {
      method: 'GET',
      scheme: this.target.tls ? 'https' : 'http',
      path: this.target.path,
      authority: `127.0.0.1:${this.target.port}`,
      ...over,
    };
    return [...Object.entries(pseudo).map(([name, value]) => [`:${name}`, value] as const), ...more];
  }

  /** The next event. Rejects when nothing comes in time. */
  async next(): Promise<RawEvent> {
    if (this.#queue.length === 0) await this.#arrival();
    const event = this.#queue.shift();
    if (event !== undefined) return event;
    return { kind: 'closed', code: this.closed ?? '' };
  }

  /** The next frame that fits; frames before it are passed over. Rejects when the connection ends before. */
  async find(fits: (frame: RawFrame) => boolean, what: string): Promise<RawFrame> {
    for (;;) {
      const event = await this.next();
      if (event.kind === 'closed') throw new Error(`expected ${what}, found the end (${event.code}); ${this.story()}`);
      if (fits(event.frame)) return event.frame;
    }
  }

  /** The GOAWAY's code and last stream, once one came. */
  async goAway(): Promise<{ readonly code: number; readonly lastStream: number }> {
    const frame = await this.find(({ type }) => type === FRAME.goAway, 'GOAWAY');
    return { code: codeOf(frame), lastStream: frame.payload.readUInt32BE(0) & 0x7fffffff };
  }

  /** Resolves when the connection has ended. */
  async ended(): Promise<void> {
    while ((await this.next()).kind !== 'closed');
  }

  /** Whether the server answers a PING after everything sent before. */
  async alive(mark = 'alive'): Promise<boolean> {
    this.write(pingFrame(mark));
    for (;;) {
      const event = await this.next();
      if (event.kind === 'closed') return false;
      if (event.frame.type === FRAME.ping && event.frame.payload.toString('latin1').startsWith(mark)) return true;
    }
  }

  /** Sends a whole request without a body and waits for its response. */
  async get(stream: number, path: string = this.target.path): Promise<RawResponse> {
    this.write(headersFrame(stream, block(this.request({ path }))));
    return this.response(stream);
  }

  /** Waits for the whole response on a stream. */
  async response(stream: number): Promise<RawResponse> {
    const heads: Pairs[] = [];
    const body: Buffer[] = [];
    for (;;) {
      const frame = await this.find(() => true, `a response on stream ${stream}`);
      if (frame.type === FRAME.goAway && codeOf(frame) !== 0) throw new Error(`expected a response; ${this.story()}`);
      if (frame.stream !== stream) continue;
      if (frame.type === FRAME.rstStream) throw new Error(`expected a response, found a reset; ${this.story()}`);
      if (frame.type === FRAME.headers) heads.push(this.fieldsOf(frame));
      if (frame.type === FRAME.data) body.push(dataOf(frame));
      if (!endsStream(frame)) continue;
      const final = heads.findIndex((fields) => !statusOf(fields).startsWith('1'));
      const fields = heads[final] ?? [];
      const trailers = heads[final + 1] ?? [];
      return { status: Number(statusOf(fields)), fields, trailers, body: Buffer.concat(body) };
    }
  }

  /** The fields of a HEADERS frame of `seen`; throws if its block could not be decoded. */
  fieldsOf(frame: RawFrame): Pairs {
    const fields = this.fields.get(frame);
    if (fields === undefined) throw new Error(`no fields: ${this.undecodable ?? 'the block has not ended'}`);
    return fields;
  }

  /** All frames so far, in one line. */
  story(): string {
    return `seen: ${this.seen.slice(-12).map(describeFrame).join('; ')}${this.closed === undefined ? '' : '; closed'}`;
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.socket.destroy();
  }

  #onBytes(bytes: Buffer): void {
    const skipped = Math.min(this.#skippedBytes, bytes.length);
    this.#skippedBytes -= skipped;
    for (const frame of this.#reader.push(bytes.subarray(skipped))) {
      this.seen.push(frame);
      this.seenAtMs.push(performance.now() - this.#openedAtMs);
      if (frame.type === FRAME.settings && !isAck(frame))
        for (let at = 0; at + 6 <= frame.payload.length; at += 6)
          this.settings.set(frame.payload.readUInt16BE(at), frame.payload.readUInt32BE(at + 2));
      this.#decode(frame);
      this.#queue.push({ kind: 'frame', frame });
    }
    this.#wake?.();
  }

  /** Every block is decoded as it comes, wanted or not, to keep the table in step. */
  #decode(frame: RawFrame): void {
    if (frame.type === FRAME.headers) this.#block = { frame, pieces: [headerBlock(frame)] };
    else if (frame.type === FRAME.continuation) this.#block?.pieces.push(frame.payload);
    else return;
    if ((frame.flags & FLAG.endHeaders) === 0 || this.#block === undefined) return;
    try {
      this.fields.set(this.#block.frame, this.#decoder.decode(Buffer.concat(this.#block.pieces)));
    } catch (error) {
      this.undecodable ??= error instanceof Error ? error.message : 'unknown';
    }
  }

  #onClosed(code: string): void {
    if (this.closed !== undefined) return;
    this.closed = code;
    this.#queue.push({ kind: 'closed', code });
    this.socket.destroy();
    this.#wake?.();
  }

  async #arrival(): Promise<void> {
    if (this.closed !== undefined) return;
    const arrived = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => arrived.resolve(false), this.#boundMs);
    this.#wake = () => this.#queue.length > 0 && arrived.resolve(true);
    const came = await arrived.promise;
    clearTimeout(timer);
    this.#wake = undefined;
    if (!came) throw new Error(`nothing came within ${this.#boundMs} ms; ${this.story()}`);
  }
}

function statusOf(fields: Pairs): string {
  return fields.find(([name]) => name === ':status')?.[1] ?? '';
}

/** The field block of a HEADERS frame, without padding and priority. */
function headerBlock({ flags, payload }: RawFrame): Buffer {
  const pad = (flags & FLAG.padded) !== 0 ? payload.readUInt8(0) : 0;
  const start = ((flags & FLAG.padded) !== 0 ? 1 : 0) + ((flags & FLAG.priority) !== 0 ? 5 : 0);
  return payload.subarray(start, payload.length - pad);
}

/** The data of a DATA frame, without padding. */
function dataOf({ flags, payload }: RawFrame): Buffer {
  const pad = (flags & FLAG.padded) !== 0 ? payload.readUInt8(0) : 0;
  return payload.subarray((flags & FLAG.padded) !== 0 ? 1 : 0, payload.length - pad);
}
