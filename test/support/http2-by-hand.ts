/** Each end of HTTP/2 against frames written by hand, without sockets. */
import assert from 'node:assert/strict';

import { Http2ClientConnection } from '../../gateway/http2/client-connection.ts';
import { type ConnectionLimits, LINK_CONNECTION, STRANGER_CONNECTION } from '../../gateway/http2/limits.ts';
import { Http2ServerConnection } from '../../gateway/http2/server-connection.ts';
import { type RequestHead, type ResponseHead } from '../../gateway/message/head.ts';
import { field } from '../../gateway/message/names.ts';
import { type ResponseReceiver, type ServerStream, type StreamReceiver } from '../../gateway/message/stream.ts';
import {
  FRAME,
  FrameReader,
  headersFrame,
  PREFACE,
  type RawFrame,
  settingsAckFrame,
  settingsFrame,
} from './http2-frames.ts';
import { MemoryOutlet, RecordedEvents } from './http2-pair.ts';
import { block } from './raw-hpack.ts';

/** What one end was told of one exchange. */
export class Told implements ResponseReceiver {
  readonly data: string[] = [];
  ended = false;
  readonly resets: number[] = [];
  readonly statuses: number[] = [];
  sent = 0;
  onInterim({ status }: ResponseHead): void {
    this.statuses.push(status);
  }
  onResponse({ status }: ResponseHead, end: boolean): void {
    this.statuses.push(status);
    this.ended = end;
  }
  onData(bytes: Uint8Array, end: boolean): void {
    this.data.push(Buffer.from(bytes).toString());
    this.ended = end;
  }
  onTrailers(): void {
    this.ended = true;
  }
  onReset(code: number): void {
    this.resets.push(code);
  }
  onSent(bytes: number): void {
    this.sent += bytes;
  }
}

/** The least request. */
export const GET = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a.test'],
] as const;

/** A head of status 200. */
export const OK = block([[':status', '200']]);

/** HEADERS of a request without a body. */
export const get = (stream: number): Buffer => headersFrame(stream, block(GET));

/** HEADERS of a request whose body is to come. */
export const post = (stream: number, more: readonly (readonly [string, string])[] = []): Buffer =>
  headersFrame(stream, block([[':method', 'POST'], ...GET.slice(1), ...more]), { end: false });

/** One end, and what it says and hears. */
abstract class End {
  readonly outlet = new MemoryOutlet();
  readonly events = new RecordedEvents();
  abstract readonly connection: Http2ServerConnection | Http2ClientConnection;
  readonly #reader = new FrameReader();

  say(...frames: readonly Buffer[]): void {
    this.connection.receive(Buffer.concat(frames));
  }

  /** Frames since the last time. */
  hear(): readonly RawFrame[] {
    this.connection.turnEnd();
    return this.#reader.push(this.outlet.take());
  }
}

/** A server between frames written by hand and a listener that only remembers. */
export class ServerRig extends End {
  readonly streams: ServerStream[] = [];
  readonly heads: RequestHead[] = [];
  readonly told: Told[] = [];
  readonly refused: string[] = [];
  readonly connection: Http2ServerConnection;

  constructor(limits: Partial<ConnectionLimits> = {}, settings: readonly (readonly [number, number])[] = []) {
    super();
    this.connection = new Http2ServerConnection({
      outlet: this.outlet,
      events: this.events,
      limits: { ...STRANGER_CONNECTION, ...limits },
      scheme: 'https',
      listener: {
        onRequest: (stream, head): StreamReceiver => {
          const told = new Told();
          this.streams.push(stream);
          this.heads.push(head);
          this.told.push(told);
          return told;
        },
        onRefused: (reason, _head, stream) => {
          this.refused.push(reason);
          stream?.respond({ status: 431, fields: [] }, true);
        },
      },
    });
    this.say(PREFACE, settingsFrame(settings), settingsAckFrame());
    this.hear();
  }

  /** Codes of RST_STREAM by stream, and the code of GOAWAY. */
  errors(): { readonly resets: readonly (readonly [number, number])[]; readonly goaway: number | undefined } {
    const frames = this.hear();
    const goaway = frames.find(({ type }) => type === FRAME.goAway);
    return {
      resets: frames
        .filter(({ type }) => type === FRAME.rstStream)
        .map(({ stream, payload }) => [stream, payload.readUInt32BE(0)] as const),
      goaway: goaway?.payload.readUInt32BE(4),
    };
  }
}

/** Answers with 200 and this body, all at once. */
export const answer = (stream: ServerStream | undefined, body: string): void => {
  stream?.respond({ status: 200, fields: [] }, false);
  stream?.write(Buffer.from(body), true);
};

/** The DATA among frames: stream and length of each. */
export const dataOf = (frames: readonly RawFrame[]): readonly (readonly [number, number])[] =>
  frames.filter(({ type }) => type === FRAME.data).map(({ stream, payload }) => [stream, payload.length] as const);

/** The same request as a client opens it. */
export const request: RequestHead = {
  method: field(':method', 'GET'),
  path: field(':path', '/'),
  authority: field(':authority', 'a.test'),
  scheme: field(':scheme', 'http'),
  protocol: undefined,
  fields: [],
};

/** A client against frames written by hand. */
export class ClientRig extends End {
  readonly connection: Http2ClientConnection;

  constructor(settings: readonly (readonly [number, number])[] = []) {
    super();
    const { outlet, events } = this;
    this.connection = new Http2ClientConnection({ outlet, events, limits: LINK_CONNECTION });
    assert.ok(this.outlet.take().subarray(0, PREFACE.length).equals(PREFACE));
    this.say(settingsFrame(settings), settingsAckFrame());
    this.hear();
  }

  open(head: Partial<RequestHead> = {}): Told {
    const told = new Told();
    assert.ok(this.connection.open({ ...request, ...head }, true, told) !== undefined);
    return told;
  }
}
