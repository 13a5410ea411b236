/** The rows of h2spec as tests: its checks, as strict as it has them, and the run of a table against every target. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import {
  codeOf,
  describeFrame,
  endsStream,
  FRAME,
  headersFrame,
  isAck,
  type Pairs,
  pingData,
  pingFrame,
  type RawFrame,
} from './http2-frames.ts';
import { HTTP2_TARGETS, type TargetName } from './http2-targets.ts';
import { block } from './raw-hpack.ts';
import { type Http2Target, RawHttp2 } from './raw-http2.ts';

/** One case of h2spec. */
export interface SpecRow {
  readonly section: string;
  readonly title: string;
  /** Before the connection's preface, when the case is about the preface. */
  readonly bare: boolean;
  readonly run: (peer: RawHttp2) => Promise<void>;
}

/** A case that starts after the exchange of prefaces. */
export function row(section: string, title: string, run: (peer: RawHttp2) => Promise<void>): SpecRow {
  return { section, title, bare: false, run };
}

/** A case that starts with a connection on which nothing was sent. */
export function bareRow(section: string, title: string, run: (peer: RawHttp2) => Promise<void>): SpecRow {
  return { section, title, bare: true, run };
}

/** How long a row waits that is known to fail against node:http2. */
const KNOWN_FAILURE_BOUND_MS = 300;

/**
 * Registers every row for every target. `nodeFails` are the titles (`section title`) in which node:http2 is known to
 * break the rule; they must keep failing there, which proves that the row can fail at all.
 */
export function conformance(suite: string, rows: readonly SpecRow[], nodeFails: readonly string[]): void {
  for (const [name, open] of Object.entries(HTTP2_TARGETS)) {
    const target = opened(open);
    for (const each of rows.filter((row) => name !== 'node' || !nodeFails.includes(rowName(row))))
      test(`${suite} ${rowName(each)} (${name})`, () => run(each, target()));
  }
  const node = opened(HTTP2_TARGETS['node' satisfies TargetName]);
  test(`${suite}: node:http2 still fails the rows it is known to fail`, async () => {
    const failing = rows.filter((each) => nodeFails.includes(rowName(each)));
    const outcomes = await Promise.allSettled(failing.map((each) => run(each, node(), KNOWN_FAILURE_BOUND_MS)));
    const passed = failing.filter((_, index) => outcomes[index]?.status === 'fulfilled');
    assert.deepEqual(passed.map(rowName), []);
    assert.deepEqual(
      nodeFails.filter((title) => !rows.some((each) => rowName(each) === title)),
      [],
    );
  });
}

function rowName({ section, title }: SpecRow): string {
  return `${section} ${title}`;
}

/** Opens a target before the tests of this file and closes it after them. */
function opened(open: () => Promise<Http2Target>): () => Http2Target {
  let target: Http2Target | undefined;
  before(async () => {
    target = await open();
  });
  after(() => target?.close());
  return () => {
    assert.ok(target !== undefined);
    return target;
  };
}

async function run(each: SpecRow, target: Http2Target, boundMs?: number): Promise<void> {
  const peer = await (each.bare
    ? RawHttp2.connect(target, boundMs)
    : RawHttp2.open(target, boundMs === undefined ? {} : { boundMs }));
  try {
    await each.run(peer);
  } finally {
    peer.destroy();
  }
}

/** A whole GET, as HEADERS with END_STREAM. */
export function get(peer: RawHttp2, stream = 1, more: Pairs = []): Buffer {
  return headersFrame(stream, block(peer.request({}, more)));
}

/** The head of a POST whose body is to come. */
export function post(peer: RawHttp2, stream = 1, more: Pairs = []): Buffer {
  return headersFrame(stream, block(peer.request({ method: 'POST' }, more)), { end: false });
}

/** The head of a GET that has not ended. */
export function openGet(peer: RawHttp2, stream = 1): Buffer {
  return headersFrame(stream, block(peer.request()), { end: false });
}

/** h2spec's dummy fields: `x-dummy0` and so on, of 4,000 bytes each. */
export function dummyBlock(count: number): Buffer {
  return block(Array.from({ length: count }, (_, index) => [`x-dummy${index}`, 'x'.repeat(4000)] as const));
}

/** The head of a request whose block goes on. */
export function begun(
  peer: RawHttp2,
  options: { readonly end: boolean; readonly method?: string; readonly stream?: number },
): Buffer {
  const { end, method = 'GET', stream = 1 } = options;
  return headersFrame(stream, block(peer.request({ method })), { end, more: true });
}

type Frames = (peer: RawHttp2) => readonly Buffer[];
type Codes = number | readonly number[];

/** `title` is a section and what is done: frames after which the connection ends with one of the codes. */
export function fatal(title: string, codes: Codes, frames: Frames): SpecRow {
  return ending(title, frames, (peer) => connectionError(peer, ...[codes].flat()));
}

/** `title` is a section and what is done: frames after which the stream, or the connection, ends with one of the codes. */
export function fatalToStream(title: string, codes: Codes, frames: Frames): SpecRow {
  return ending(title, frames, (peer) => streamError(peer, ...[codes].flat()));
}

function ending(title: string, frames: Frames, end: (peer: RawHttp2) => Promise<void>): SpecRow {
  const [section = '', ...words] = title.split(' ');
  return row(section, words.join(' '), async (peer) => {
    peer.write(...frames(peer));
    await end(peer);
  });
}

type Verdict = 'passed' | 'failed' | 'go on';

/** Judges events until one decides; the end of the connection is judged too, and ends the wait. */
async function judge(peer: RawHttp2, what: string, verdict: (frame: RawFrame | undefined) => Verdict): Promise<void> {
  for (;;) {
    const event = await peer.next().catch((error: unknown) => {
      throw new Error(`expected ${what}: ${error instanceof Error ? error.message : ''}`);
    });
    const frame = event.kind === 'frame' ? event.frame : undefined;
    const decided = verdict(frame);
    if (decided === 'passed') return;
    if (decided === 'failed' || frame === undefined)
      assert.fail(`expected ${what}, found ${frame === undefined ? 'the end' : describeFrame(frame)}; ${peer.story()}`);
  }
}

/** A connection error: GOAWAY with one of the codes, or the end of the connection. A GOAWAY with another code fails. */
export function connectionError(peer: RawHttp2, ...codes: readonly number[]): Promise<void> {
  return judge(peer, `a connection error of ${codes.join(' or ')}`, (frame) => {
    if (frame === undefined) return 'passed';
    if (frame.type !== FRAME.goAway) return 'go on';
    return codes.includes(codeOf(frame)) ? 'passed' : 'failed';
  });
}

/** A stream error, or the same as a connection error. A reset or GOAWAY with another code fails. */
export function streamError(peer: RawHttp2, ...codes: readonly number[]): Promise<void> {
  return judge(peer, `a stream error of ${codes.join(' or ')}`, (frame) => {
    if (frame === undefined) return 'passed';
    if (frame.type !== FRAME.goAway && frame.type !== FRAME.rstStream) return 'go on';
    return codes.includes(codeOf(frame)) ? 'passed' : 'failed';
  });
}

/** The end of the connection. */
export function connectionClose(peer: RawHttp2): Promise<void> {
  return judge(peer, 'the end of the connection', (frame) => (frame === undefined ? 'passed' : 'go on'));
}

/** The regular end of a stream: END_STREAM, or a reset with NO_ERROR. */
export function streamClose(peer: RawHttp2): Promise<void> {
  return judge(peer, 'the end of the stream', (frame) => {
    if (frame === undefined) return 'failed';
    return endsStream(frame) || (frame.type === FRAME.rstStream && codeOf(frame) === 0) ? 'passed' : 'go on';
  });
}

/** The first frame of `type` fits. */
export function frameOf(
  peer: RawHttp2,
  type: number,
  fits: (frame: RawFrame) => boolean = () => true,
  what = '',
): Promise<void> {
  return judge(peer, `a frame of type ${type} ${what}`, (frame) => {
    if (frame === undefined) return 'failed';
    if (frame.type !== type) return 'go on';
    return fits(frame) ? 'passed' : 'failed';
  });
}

/** The first HEADERS is on `stream`: the request was answered. */
export function answered(peer: RawHttp2, stream = 1): Promise<void> {
  return frameOf(peer, FRAME.headers, (frame) => frame.stream === stream, `on stream ${stream}`);
}

/** The first SETTINGS is an acknowledgement. */
export function settingsAcknowledged(peer: RawHttp2): Promise<void> {
  return frameOf(peer, FRAME.settings, isAck, 'with ACK');
}

/** Sends a PING; the first PING that comes is its acknowledgement, with the same data. */
export function pingAnswered(peer: RawHttp2, data = ''): Promise<void> {
  peer.write(pingFrame(data));
  return frameOf(peer, FRAME.ping, (frame) => isAck(frame) && frame.payload.equals(pingData(data)), 'with ACK');
}

/** Sends a PING, which is answered unless the connection ended. */
export function pingAnsweredOrClosed(peer: RawHttp2, data = ''): Promise<void> {
  peer.write(pingFrame(data));
  return judge(peer, 'PING with ACK or the end', (frame) => {
    if (frame === undefined) return 'passed';
    return isAck(frame) && frame.payload.equals(pingData(data)) ? 'passed' : 'go on';
  });
}

/** DATA of exactly `bytes` is the first DATA. */
export function dataOfLength(peer: RawHttp2, bytes: number): Promise<void> {
  return frameOf(peer, FRAME.data, ({ payload }) => payload.length === bytes, `of ${bytes} bytes`);
}
