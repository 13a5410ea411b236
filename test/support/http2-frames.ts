/** HTTP/2 frames as bytes, by RFC 9113 §4 and §6, with every rule left to the caller to keep or to break. */

/** Frame types (§6). */
export const FRAME = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rstStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goAway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

/** Flags (§6). */
export const FLAG = { none: 0, ack: 0x1, endStream: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

/** Settings (§6.5.2). */
export const SETTING = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
} as const;

/** Error codes (§7). */
export const CODE = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  enhanceYourCalm: 0xb,
} as const;

/** What a client sends first (§3.4). */
export const PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** The bytes before each frame's payload. */
export const FRAME_HEADER_BYTES = 9;

/** A frame as it stands on the wire. */
export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  /** With the reserved bit off. */
  readonly stream: number;
  readonly payload: Buffer;
}

/** `name: value` pairs in the order of the wire. */
export type Pairs = readonly (readonly [string, string])[];

/** 32 bits, most significant first. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Any frame; `length` is what the header claims. */
export function frame(head: Partial<Omit<RawFrame, 'payload'>>, payload: Uint8Array, length = payload.length): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  bytes.writeUIntBE(length, 0, 3);
  bytes[3] = head.type ?? 0;
  bytes[4] = head.flags ?? 0;
  bytes.writeUInt32BE(head.stream ?? 0, 5);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

/** HEADERS with a block; END_HEADERS unless `more`. */
export function headersFrame(
  stream: number,
  block: Uint8Array,
  options: { readonly end?: boolean; readonly more?: boolean; readonly pad?: number; readonly priority?: Buffer } = {},
): Buffer {
  const flags =
    (options.end === false ? 0 : FLAG.endStream) |
    (options.more === true ? 0 : FLAG.endHeaders) |
    (options.pad === undefined ? 0 : FLAG.padded) |
    (options.priority === undefined ? 0 : FLAG.priority);
  const before = options.pad === undefined ? Buffer.alloc(0) : Buffer.from([options.pad]);
  const payload = [before, options.priority ?? Buffer.alloc(0), block, Buffer.alloc(options.pad ?? 0)];
  return frame({ type: FRAME.headers, flags, stream }, Buffer.concat(payload));
}

/** CONTINUATION; END_HEADERS with `last`. */
export function continuationFrame(stream: number, last: boolean, block: Uint8Array): Buffer {
  return frame({ type: FRAME.continuation, flags: last ? FLAG.endHeaders : 0, stream }, block);
}

/** DATA; END_STREAM with `end`; `pad` zero bytes after it. */
export function dataFrame(stream: number, end: boolean, data: Uint8Array | string, pad?: number): Buffer {
  const body = Buffer.from(data);
  const flags = (end ? FLAG.endStream : 0) | (pad === undefined ? 0 : FLAG.padded);
  const payload = pad === undefined ? body : Buffer.concat([Buffer.from([pad]), body, Buffer.alloc(pad)]);
  return frame({ type: FRAME.data, flags, stream }, payload);
}

/** The five bytes that say a stream's priority (§6.3); `weight` as on the wire, 0 to 255. */
export function priorityFields(dependency: number, weight: number, exclusive = false): Buffer {
  return Buffer.concat([uint32((dependency | (exclusive ? 0x80000000 : 0)) >>> 0), Buffer.from([weight])]);
}

/** PRIORITY. */
export function priorityFrame(stream: number, fields: Buffer): Buffer {
  return frame({ type: FRAME.priority, stream }, fields);
}

/** RST_STREAM. */
export function rstFrame(stream: number, code: number): Buffer {
  return frame({ type: FRAME.rstStream, stream }, uint32(code));
}

/** SETTINGS with identifiers and values in this order. */
export function settingsFrame(values: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(values.length * 6);
  values.forEach(([identifier, value], index) => {
    payload.writeUInt16BE(identifier, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  });
  return frame({ type: FRAME.settings }, payload);
}

/** The acknowledgement of SETTINGS. */
export function settingsAckFrame(): Buffer {
  return frame({ type: FRAME.settings, flags: FLAG.ack }, Buffer.alloc(0));
}

/** PING with eight bytes, `text` padded by zeros. */
export function pingFrame(text = '', ack = false): Buffer {
  return frame({ type: FRAME.ping, flags: ack ? FLAG.ack : 0 }, pingData(text));
}

/** What a PING of `text` carries. */
export function pingData(text: string): Buffer {
  const data = Buffer.alloc(8);
  data.write(text, 'latin1');
  return data;
}

/** GOAWAY. */
export function goAwayFrame(lastStream: number, code: number, debug = ''): Buffer {
  return frame({ type: FRAME.goAway }, Buffer.concat([uint32(lastStream), uint32(code), Buffer.from(debug)]));
}

/** WINDOW_UPDATE. */
export function windowUpdateFrame(stream: number, increment: number): Buffer {
  return frame({ type: FRAME.windowUpdate, stream }, uint32(increment));
}

/** PUSH_PROMISE. */
export function pushPromiseFrame(stream: number, promised: number, block: Uint8Array): Buffer {
  return frame({ type: FRAME.pushPromise, flags: FLAG.endHeaders, stream }, Buffer.concat([uint32(promised), block]));
}

/** Takes whole frames off the front of a stream of bytes, believing only the length. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames that `bytes` completes. */
  push(bytes: Uint8Array): readonly RawFrame[] {
    this.#rest = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes]);
    const frames: RawFrame[] = [];
    let at = 0;
    while (this.#rest.length - at >= FRAME_HEADER_BYTES) {
      const length = this.#rest.readUIntBE(at, 3);
      const end = at + FRAME_HEADER_BYTES + length;
      if (this.#rest.length < end) break;
      frames.push({
        type: this.#rest.readUInt8(at + 3),
        flags: this.#rest.readUInt8(at + 4),
        stream: this.#rest.readUInt32BE(at + 5) & 0x7fffffff,
        payload: this.#rest.subarray(at + FRAME_HEADER_BYTES, end),
      });
      at = end;
    }
    this.#rest = this.#rest.subarray(at);
    return frames;
  }
}

/** Whether the frame carries END_STREAM. */
export function endsStream({ type, flags }: RawFrame): boolean {
  return (type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0;
}

/** Whether the frame acknowledges. */
export function isAck({ type, flags }: RawFrame): boolean {
  return (type === FRAME.settings || type === FRAME.ping) && (flags & FLAG.ack) !== 0;
}

/** The error code of RST_STREAM or GOAWAY. */
export function codeOf({ type, payload }: RawFrame): number {
  return payload.readUInt32BE(type === FRAME.goAway ? 4 : 0);
}

/** A frame in one line, for failures. */
export function describeFrame(frame: RawFrame): string {
  const name = Object.entries(FRAME).find(([, type]) => type === frame.type)?.[0] ?? `type ${frame.type}`;
  const hasCode = frame.type === FRAME.rstStream || frame.type === FRAME.goAway;
  const code = hasCode && frame.payload.length >= 4 ? ` code ${codeOf(frame)}` : '';
  return `${name} stream ${frame.stream} flags ${frame.flags} length ${frame.payload.length}${code}`;
}
