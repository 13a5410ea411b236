/**
 * Reads the lines of a head or of trailers from bytes in pieces of any size (RFC 9112 §2.2, §5).
 *
 *     START ──line──▶ FIELDS ──empty line──▶ DONE
 *       │ no line, too long     │ not a field, over a limit
 *       └──────────▶ BAD ◀──────┘
 */
import { type FieldLine } from './field-line.ts';
import { type Http1Limits, START_LINE_REST_BYTES_MAX } from './limits.ts';
import { type LineCache } from './line-cache.ts';

const START = 0;
const FIELDS = 1;
const DONE = 2;
const BAD = 3;

/** Made into a string at a time: heads are mostly smaller, and a body behind them is not looked at. */
const WINDOW = 2 * 1024;

const HELD_BYTES_MIN = 256;

/** RFC 9112 §2.2 asks for one at least; nginx and HAProxy pass over as many as come. This many no honest client sends. */
const EMPTY_LINES_MAX = 8;

const CR = 0x0d;
const SPACE = 0x20;
const DELETE = 0x7f;

/** Why the lines are no head. */
export type HeadProblem =
  'request-malformed' | 'header-malformed' | 'limit-target' | 'limit-header-bytes' | 'limit-header-fields';

/** What is read: heads start with a line of their own, and a few empty lines before a request are passed over. */
export type HeadPart = 'request' | 'response' | 'trailers';

/** What lines are read with. */
export interface HeadReaderOptions {
  readonly part: HeadPart;
  readonly cache: LineCache<FieldLine>;
  readonly limits: Http1Limits;
  /** Judges a start line as soon as it has come: who speaks another protocol may never send more. */
  readonly isStart?: (line: string) => boolean;
}

/** Reads one head after another. */
export class HeadReader {
  /** Without its line end. */
  startLine = '';
  lines: FieldLine[] = [];
  problem: HeadProblem | undefined = undefined;
  readonly #part: HeadPart;
  readonly #cache: LineCache<FieldLine>;
  readonly #limits: Http1Limits;
  readonly #isStart: ((line: string) => boolean) | undefined;
  #state: number;
  #emptyLines = 0;
  #fieldBytes = 0;
  /** The line that has come in part. */
  #held: Buffer = Buffer.alloc(0);
  #heldBytes = 0;

  constructor({ part, cache, limits, isStart }: HeadReaderOptions) {
    this.#isStart = isStart;
    this.#limits = limits;
    this.#part = part;
    this.#cache = cache;
    this.#state = part === 'trailers' ? FIELDS : START;
  }

  /** Whether a head is complete. */
  get done(): boolean {
    return this.#state === DONE;
  }

  /** Whether nothing of a head has been read. */
  get fresh(): boolean {
    return this.#state === (this.#part === 'trailers' ? FIELDS : START) && this.#heldBytes === 0;
  }

  /** Makes ready for the next head. */
  reset(): void {
    this.#state = this.#part === 'trailers' ? FIELDS : START;
    this.startLine = '';
    this.lines = [];
    this.problem = undefined;
    this.#emptyLines = 0;
    this.#fieldBytes = 0;
    this.#heldBytes = 0;
    if (this.#held.length > HELD_BYTES_MIN) this.#held = Buffer.alloc(0);
  }

  /** Reads from `from` and returns where it stopped: behind the head when `done`, else at the end, with `problem` or without. */
  read(bytes: Buffer, from: number): number {
    let at = from;
    if (this.#heldBytes > 0) at = this.#readHeld(bytes, at);
    while (at < bytes.length && this.#state < DONE) {
      const text = bytes.toString('latin1', at, Math.min(bytes.length, at + WINDOW));
      const read = this.#readText(text);
      at += read;
      if (read === 0) at = this.#readHeld(bytes, at);
    }
    return this.#state === BAD ? bytes.length : at;
  }

  /** Reads the whole lines of `text` and returns how many characters they have. */
  #readText(text: string): number {
    let at = 0;
    while (this.#state < DONE) {
      const end = text.indexOf('\n', at);
      if (end < 0) break;
      this.#line(text.slice(at, end));
      at = end + 1;
    }
    return at;
  }

  /** Adds to the line held, and reads it when its end has come. */
  #readHeld(bytes: Buffer, from: number): number {
    const end = bytes.indexOf(0x0a, from);
    const until = end < 0 ? bytes.length : end;
    // One more than may be held shows that it is too much.
    const keep = Math.min(until, from + this.#room() + 2 - this.#heldBytes);
    this.#hold(bytes, from, keep);
    const isWhole = end >= 0 && keep === until;
    const text = this.#held.toString(
      'latin1',
      Math.max(0, isWhole ? 0 : this.#heldBytes - (keep - from) - 1),
      this.#heldBytes,
    );
    if (isWhole) {
      this.#heldBytes = 0;
      this.#line(text);
      return end + 1;
    }
    const cr = text.indexOf('\r');
    if ((cr >= 0 && cr < text.length - 1) || this.#isOtherProtocol()) this.#malformed();
    else if (this.#heldBytes > this.#room() + 1) this.#tooLong();
    return bytes.length;
  }

  /** TLS and other binary protocols show themselves with their first byte, and then wait for an answer. */
  #isOtherProtocol(): boolean {
    const first = this.#heldBytes > 0 ? this.#held[0] : undefined;
    if (this.#state !== START || this.#part !== 'request' || first === undefined) return false;
    return first !== CR && (first < SPACE || first > DELETE - 1);
  }

  #hold(bytes: Buffer, from: number, to: number): void {
    const needed = this.#heldBytes + to - from;
    if (needed > this.#held.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(HELD_BYTES_MIN, 2 * this.#held.length, needed));
      this.#held.copy(larger, 0, 0, this.#heldBytes);
      this.#held = larger;
    }
    bytes.copy(this.#held, this.#heldBytes, from, to);
    this.#heldBytes = needed;
  }

  /** Characters that the line may have without its line end. */
  #room(): number {
    const { headerBytesMax, targetBytesMax } = this.#limits;
    if (this.#state === START) return START_LINE_REST_BYTES_MAX + targetBytesMax;
    return Math.max(0, headerBytesMax - this.#fieldBytes - 2);
  }

  /** A line up to its LF, in the order that reading it byte by byte would find its faults. */
  #line(text: string): void {
    const length = text.length - 1;
    const cr = text.indexOf('\r');
    const room = this.#room();
    if (cr >= 0 && cr < length && cr <= room) this.#malformed();
    else if (length > room) this.#tooLong();
    else if (cr < 0 || cr !== length) this.#malformed();
    else if (this.#state === START) this.#start(text.slice(0, length));
    else if (length === 0) this.#state = DONE;
    else this.#field(text.slice(0, length));
  }

  #start(line: string): void {
    if (line !== '') {
      this.startLine = line;
      if (this.#isStart?.(line) !== false) this.#state = FIELDS;
      else this.#malformed();
      return;
    }
    // Behind a body they are what old clients send, and tell no reader anything.
    this.#emptyLines += 1;
    if (this.#part !== 'request' || this.#emptyLines > EMPTY_LINES_MAX) this.#malformed();
  }

  #field(line: string): void {
    this.#fieldBytes += line.length + 2;
    const parsed = this.#cache.get(line);
    if (parsed === undefined) this.#malformed();
    else if (parsed.field.name.text.length > this.#limits.headerNameBytesMax) this.#bad('limit-header-bytes');
    else if (this.lines.length >= this.#limits.headerFieldsMax) this.#bad('limit-header-fields');
    else this.lines.push(parsed);
  }

  #malformed(): void {
    this.#bad(this.#state === START ? 'request-malformed' : 'header-malformed');
  }

  #tooLong(): void {
    this.#bad(this.#state === START ? 'limit-target' : 'limit-header-bytes');
  }

  #bad(problem: HeadProblem): void {
    this.problem = problem;
    this.#state = BAD;
  }
}
