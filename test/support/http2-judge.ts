/** Judges what a server sends, without any knowledge of the server: every frame must be one that a client may rely on. */
import {
  codeOf,
  describeFrame,
  endsStream,
  FLAG,
  FRAME,
  FrameReader,
  isAck,
  PREFACE,
  type RawFrame,
} from './http2-frames.ts';
import { RawHpackDecoder } from './raw-hpack.ts';

const FRAME_BYTES_MAX = 16_384;
const WINDOW_FIRST_BYTES = 65_535;

/** Counts what a client sent, as far as it can be read, and checks what comes back against RFC 9113 §5 and §6. */
export class Http2Judge {
  readonly #sent = new FrameReader();
  readonly #received = new FrameReader();
  readonly #decoder = new RawHpackDecoder();
  readonly #ended = new Set<number>();
  readonly #answered = new Set<number>();
  #prefaceLeft = PREFACE.length;
  #window = WINDOW_FIRST_BYTES;
  #first = true;
  #over = false;
  #block: Buffer[] | undefined;

  /** Takes what the client sends: credit on the connection is what DATA may use up. */
  onSent(bytes: Buffer): void {
    const skipped = Math.min(this.#prefaceLeft, bytes.length);
    this.#prefaceLeft -= skipped;
    for (const { type, stream, payload } of this.#sent.push(bytes.subarray(skipped)))
      if (type === FRAME.windowUpdate && stream === 0 && payload.length === 4)
        this.#window += payload.readUInt32BE(0) & 0x7fffffff;
  }

  /** Takes what the server sends; throws for what it must never send. */
  onReceived(bytes: Uint8Array): void {
    for (const frame of this.#received.push(bytes)) {
      const wrong = this.#wrongIn(frame);
      if (wrong !== undefined) throw new Error(`${wrong}: ${describeFrame(frame)}`);
    }
  }

  #wrongIn(frame: RawFrame): string | undefined {
    const { type, payload } = frame;
    if (this.#over) return 'sent after a GOAWAY that ended the connection';
    if (this.#first && (type !== FRAME.settings || isAck(frame))) return 'the first frame is not SETTINGS';
    this.#first = false;
    if (payload.length > FRAME_BYTES_MAX) return 'larger than any client allowed';
    if ((this.#block !== undefined) !== (type === FRAME.continuation)) return 'a header block was interrupted';
    if (type === FRAME.pushPromise) return 'a push';
    if (type === FRAME.goAway) this.#over = codeOf(frame) !== 0;
    return this.#wrongOnStream(frame) ?? this.#wrongInBlock(frame);
  }

  #wrongOnStream(frame: RawFrame): string | undefined {
    const { type, stream, payload } = frame;
    if (type !== FRAME.data && type !== FRAME.headers && type !== FRAME.rstStream) return undefined;
    if (stream % 2 === 0) return 'a stream that no client can open';
    if (type !== FRAME.rstStream && this.#ended.has(stream)) return 'after the end of its stream';
    if (endsStream(frame) || type === FRAME.rstStream) this.#ended.add(stream);
    if (type !== FRAME.data) return undefined;
    this.#window -= payload.length;
    if (this.#window < 0) return 'beyond the window of the connection';
    return this.#answered.has(stream) ? undefined : 'DATA before HEADERS';
  }

  #wrongInBlock({ type, flags, stream, payload }: RawFrame): string | undefined {
    if (type !== FRAME.headers && type !== FRAME.continuation) return undefined;
    this.#answered.add(stream);
    this.#block = [...(this.#block ?? []), payload];
    if ((flags & FLAG.endHeaders) === 0) return undefined;
    const fields = this.#decoder.decode(Buffer.concat(this.#block));
    this.#block = undefined;
    return fields.length === 0 ? 'an empty header block' : undefined;
  }
}
