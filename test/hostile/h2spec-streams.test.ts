/** h2spec, "Hypertext Transfer Protocol Version 2", section 5: the states, identifiers and number of streams. */
import {
  answered,
  conformance,
  connectionClose,
  connectionError,
  dummyBlock,
  frameOf,
  get,
  openGet,
  pingAnswered,
  post,
  row,
  type SpecRow,
  streamClose,
  streamError,
} from '../support/h2spec.ts';
import {
  CODE,
  continuationFrame,
  dataFrame,
  FRAME,
  frame,
  headersFrame,
  priorityFields,
  priorityFrame,
  rstFrame,
  SETTING,
  settingsFrame,
  windowUpdateFrame,
} from '../support/http2-frames.ts';
import { block } from '../support/raw-hpack.ts';
import { type RawHttp2 } from '../support/raw-http2.ts';

type Frames = (peer: RawHttp2) => readonly Buffer[];

/** Frames on their own stream, and what must come of them. */
function states(title: string, frames: Frames, verify: (peer: RawHttp2) => Promise<void>): SpecRow {
  return row('5.1', title, async (peer) => {
    peer.write(...frames(peer));
    await verify(peer);
  });
}

/** Frames after the end of a whole exchange on stream 1. */
function afterEnd(title: string, frames: Frames, verify: (peer: RawHttp2) => Promise<void>): SpecRow {
  return row('5.1', title, async (peer) => {
    peer.write(get(peer));
    await streamClose(peer);
    peer.write(...frames(peer));
    await verify(peer);
  });
}

const onConnection =
  (...codes: readonly number[]) =>
  (peer: RawHttp2): Promise<void> =>
    connectionError(peer, ...codes);
const onStream =
  (...codes: readonly number[]) =>
  (peer: RawHttp2): Promise<void> =>
    streamError(peer, ...codes);

const streamStates: readonly SpecRow[] = [
  states(
    'idle: Sends a DATA frame',
    () => [dataFrame(1, true, 'test')],
    onStream(CODE.protocolError, CODE.streamClosed),
  ),
  states('idle: Sends a RST_STREAM frame', () => [rstFrame(1, CODE.cancel)], onConnection(CODE.protocolError)),
  states('idle: Sends a WINDOW_UPDATE frame', () => [windowUpdateFrame(1, 100)], onConnection(CODE.protocolError)),
  states(
    'idle: Sends a CONTINUATION frame',
    (peer) => [continuationFrame(1, true, block(peer.request()))],
    onConnection(CODE.protocolError),
  ),
  states(
    'half closed (remote): Sends a DATA frame',
    (peer) => [get(peer), dataFrame(1, true, 'test')],
    onStream(CODE.streamClosed),
  ),
  states('half closed (remote): Sends a HEADERS frame', (peer) => [get(peer), get(peer)], onStream(CODE.streamClosed)),
  states(
    'half closed (remote): Sends a CONTINUATION frame',
    (peer) => [get(peer), continuationFrame(1, true, block(peer.request()))],
    onStream(CODE.streamClosed, CODE.protocolError),
  ),
  states(
    'closed: Sends a DATA frame after sending RST_STREAM frame',
    (peer) => [openGet(peer), rstFrame(1, CODE.cancel), dataFrame(1, true, 'test')],
    onStream(CODE.streamClosed),
  ),
  states(
    'closed: Sends a HEADERS frame after sending RST_STREAM frame',
    (peer) => [openGet(peer), rstFrame(1, CODE.cancel), get(peer)],
    onStream(CODE.streamClosed),
  ),
  states(
    'closed: Sends a CONTINUATION frame after sending RST_STREAM frame',
    (peer) => [openGet(peer), rstFrame(1, CODE.cancel), continuationFrame(1, true, dummyBlock(1))],
    onStream(CODE.streamClosed, CODE.protocolError),
  ),
  afterEnd('closed: Sends a DATA frame', () => [dataFrame(1, true, 'test')], onStream(CODE.streamClosed)),
  afterEnd('closed: Sends a HEADERS frame', (peer) => [get(peer)], onConnection(CODE.streamClosed)),
  afterEnd(
    'closed: Sends a CONTINUATION frame',
    () => [continuationFrame(1, true, dummyBlock(1))],
    onConnection(CODE.streamClosed, CODE.protocolError),
  ),
];

const identifiers: readonly SpecRow[] = [
  row('5.1.1', 'Sends even-numbered stream identifier', async (peer) => {
    peer.write(get(peer, 2));
    await connectionError(peer, CODE.protocolError);
  }),
  row('5.1.1', 'Sends stream identifier that is numerically smaller than previous', async (peer) => {
    peer.write(get(peer, 5), get(peer, 3));
    await connectionError(peer, CODE.protocolError);
  }),
  row(
    '5.1.2',
    'Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded',
    async (peer) => {
      const limit = peer.settings.get(SETTING.maxConcurrentStreams);
      if (limit === undefined) throw new Error('expected SETTINGS_MAX_CONCURRENT_STREAMS');
      peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]));
      peer.write(...Array.from({ length: limit + 1 }, (_, index) => get(peer, 2 * index + 1)));
      await streamError(peer, CODE.protocolError, CODE.refusedStream);
    },
  ),
];

const priorities: readonly SpecRow[] = [
  row('5.3.1', 'Sends HEADERS frame that depends on itself', async (peer) => {
    peer.write(headersFrame(1, block(peer.request()), { priority: priorityFields(1, 255) }));
    await streamError(peer, CODE.protocolError);
  }),
  row('5.3.1', 'Sends PRIORITY frame that depend on itself', async (peer) => {
    peer.write(priorityFrame(1, priorityFields(1, 255)));
    await streamError(peer, CODE.protocolError);
  }),
];

const INVALID_PING = frame({ type: FRAME.ping, stream: 3 }, Buffer.alloc(8));
const UNKNOWN = frame({ type: 0x16 }, Buffer.alloc(8));

const errorsAndExtensions: readonly SpecRow[] = [
  row('5.4.1', 'Sends an invalid PING frame for connection close', async (peer) => {
    peer.write(INVALID_PING);
    await connectionClose(peer);
  }),
  row('5.4.1', 'Sends an invalid PING frame to receive GOAWAY frame', async (peer) => {
    peer.write(INVALID_PING);
    await frameOf(peer, FRAME.goAway);
  }),
  row('5.5', 'Sends an unknown extension frame', async (peer) => {
    peer.write(UNKNOWN);
    await pingAnswered(peer);
  }),
  row('5.5', 'Sends an unknown extension frame in the middle of a header block', async (peer) => {
    peer.write(headersFrame(1, block(peer.request()), { more: true }), UNKNOWN);
    await connectionError(peer, CODE.protocolError);
  }),
];

const own: readonly SpecRow[] = [
  row('5.1.1', 'takes the skipped identifiers below an opened stream as closed', async (peer) => {
    peer.write(get(peer, 5));
    await answered(peer, 5);
    peer.write(dataFrame(3, true, 'test'));
    await streamError(peer, CODE.protocolError, CODE.streamClosed);
  }),
  row('5.1.1', 'refuses DATA on an even stream, which it never opened', async (peer) => {
    peer.write(dataFrame(2, true, 'test'));
    await connectionError(peer, CODE.protocolError, CODE.streamClosed);
  }),
  row('5.1.1', 'refuses WINDOW_UPDATE and RST_STREAM on an even stream', async (peer) => {
    peer.write(get(peer, 1));
    await answered(peer, 1);
    peer.write(windowUpdateFrame(2, 1));
    await connectionError(peer, CODE.protocolError);
  }),
  row('5.1.1', 'serves the highest stream identifier', async (peer) => {
    peer.write(get(peer, 0x7fffffff));
    await answered(peer, 0x7fffffff);
  }),
  row('5.1.2', 'counts only streams that live: a stream that ended makes room', async (peer) => {
    const limit = Math.min(peer.settings.get(SETTING.maxConcurrentStreams) ?? 100, 1000);
    for (let index = 0; index < limit + 10; index += 1) {
      const { status } = await peer.get(2 * index + 1);
      if (status !== 200) throw new Error(`stream ${2 * index + 1} was answered ${status}`);
    }
  }),
  row('5.4.2', 'a reset stream leaves its neighbours alone', async (peer) => {
    peer.write(post(peer, 1), post(peer, 3), windowUpdateFrame(1, 0));
    await streamError(peer, CODE.protocolError);
    peer.write(dataFrame(3, true, 'test'));
    await answered(peer, 3);
  }),
];

/** Where node:http2 (nghttp2) breaks the rule as h2spec reads it. */
const NODE_FAILS: readonly string[] = [
  '5.1 closed: Sends a DATA frame after sending RST_STREAM frame',
  '5.1 closed: Sends a HEADERS frame after sending RST_STREAM frame',
  '5.1 closed: Sends a DATA frame',
  '5.1 closed: Sends a HEADERS frame',
  '5.1.1 Sends stream identifier that is numerically smaller than previous',
  '5.3.1 Sends PRIORITY frame that depend on itself',
  '5.1.1 takes the skipped identifiers below an opened stream as closed',
  '5.4.2 a reset stream leaves its neighbours alone',
];

conformance('http2', [...streamStates, ...identifiers, ...priorities, ...errorsAndExtensions, ...own], NODE_FAILS);
