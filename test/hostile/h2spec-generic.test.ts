/** h2spec, "Generic tests for HTTP/2 server": what every server must accept. */
import {
  answered,
  bareRow,
  conformance,
  dummyBlock,
  frameOf,
  get,
  openGet,
  pingAnswered,
  pingAnsweredOrClosed,
  post,
  row,
  settingsAcknowledged,
  type SpecRow,
  streamClose,
} from '../support/h2spec.ts';
import {
  CODE,
  continuationFrame,
  dataFrame,
  FRAME,
  frame,
  goAwayFrame,
  headersFrame,
  isAck,
  PREFACE,
  priorityFields,
  priorityFrame,
  rstFrame,
  SETTING,
  settingsFrame,
  windowUpdateFrame,
} from '../support/http2-frames.ts';
import { block } from '../support/raw-hpack.ts';
import { type RawHttp2 } from '../support/raw-http2.ts';

const PRIORITY = priorityFields(0, 255);
const FIRST_BYTES = 5;

/** A GET whose field block ends (or starts) with these bytes. */
function getWith(peer: RawHttp2, before: Buffer, after: Buffer): Buffer {
  return headersFrame(1, Buffer.concat([before, block(peer.request()), after]));
}

/** A GET with a priority before it for stream `stream`. */
function prioritised(title: string, stream: number, fields: Buffer): SpecRow {
  return row('3.3', title, async (peer) => {
    peer.write(priorityFrame(stream, fields), get(peer));
    await answered(peer);
  });
}

/** A representation that every decoder must take, at the end of a block. */
function accepted(title: string, representation: string): SpecRow {
  return row('5', title, async (peer) => {
    peer.write(getWith(peer, Buffer.alloc(0), Buffer.from(representation, 'hex')));
    await answered(peer);
  });
}

const streams: readonly SpecRow[] = [
  bareRow('1', 'Sends a client connection preface', async (peer) => {
    peer.write(PREFACE, settingsFrame([[SETTING.initialWindowSize, 65_535]]));
    const first = await peer.find(() => true, 'the preface of the server');
    if (first.type !== FRAME.settings || isAck(first)) throw new Error(`expected SETTINGS; ${peer.story()}`);
  }),
  row('2', 'Sends a PRIORITY frame on idle stream', async (peer) => {
    peer.write(priorityFrame(1, PRIORITY));
    await pingAnswered(peer);
  }),
  row('2', 'Sends a WINDOW_UPDATE frame on half-closed (remote) stream', async (peer) => {
    peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]), get(peer), windowUpdateFrame(1, 1));
    await frameOf(peer, FRAME.data);
  }),
  row('2', 'Sends a PRIORITY frame on half-closed (remote) stream', async (peer) => {
    peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]), get(peer));
    peer.write(priorityFrame(1, PRIORITY), windowUpdateFrame(1, 1));
    await frameOf(peer, FRAME.data);
  }),
  row('2', 'Sends a RST_STREAM frame on half-closed (remote) stream', async (peer) => {
    peer.write(get(peer), rstFrame(1, CODE.cancel));
    await pingAnsweredOrClosed(peer);
  }),
  row('2', 'Sends a PRIORITY frame on closed stream', async (peer) => {
    peer.write(get(peer));
    await streamClose(peer);
    peer.write(priorityFrame(1, PRIORITY));
    await pingAnswered(peer);
  }),
];

const frames: readonly SpecRow[] = [
  row('3.1', 'Sends a DATA frame', async (peer) => {
    peer.write(post(peer), dataFrame(1, true, 'test'));
    await answered(peer);
  }),
  row('3.1', 'Sends multiple DATA frames', async (peer) => {
    peer.write(post(peer), dataFrame(1, false, 'test'), dataFrame(1, true, 'test'));
    await answered(peer);
  }),
  row('3.1', 'Sends a DATA frame with padding', async (peer) => {
    peer.write(post(peer), dataFrame(1, true, 'test', 5));
    await answered(peer);
  }),
  row('3.2', 'Sends a HEADERS frame', async (peer) => {
    peer.write(get(peer));
    await answered(peer);
  }),
  row('3.2', 'Sends a HEADERS frame with padding', async (peer) => {
    peer.write(headersFrame(1, block(peer.request()), { pad: 8 }));
    await answered(peer);
  }),
  row('3.2', 'Sends a HEADERS frame with priority', async (peer) => {
    peer.write(headersFrame(1, block(peer.request()), { priority: PRIORITY }));
    await answered(peer);
  }),
  prioritised('Sends a PRIORITY frame with priority 1', 1, priorityFields(0, 0)),
  prioritised('Sends a PRIORITY frame with priority 256', 1, PRIORITY),
  prioritised('Sends a PRIORITY frame with stream dependency', 3, priorityFields(1, 0)),
  prioritised('Sends a PRIORITY frame with exclusive', 1, priorityFields(0, 0, true)),
  prioritised('Sends a PRIORITY frame for an idle stream, then send a HEADER frame for a lower stream ID', 3, PRIORITY),
  row('3.4', 'Sends a RST_STREAM frame', async (peer) => {
    peer.write(openGet(peer), rstFrame(1, CODE.cancel));
    await pingAnsweredOrClosed(peer);
  }),
  row('3.5', 'Sends a SETTINGS frame', async (peer) => {
    peer.write(
      settingsFrame([
        [SETTING.headerTableSize, 4096],
        [SETTING.enablePush, 1],
        [SETTING.maxConcurrentStreams, 100],
        [SETTING.initialWindowSize, 65_535],
        [SETTING.maxFrameSize, 16_384],
        [SETTING.maxHeaderListSize, 100],
      ]),
    );
    await settingsAcknowledged(peer);
  }),
  row('3.7', 'Sends a PING frame', async (peer) => {
    await pingAnswered(peer, 'h2spec');
  }),
  row('3.8', 'Sends a GOAWAY frame', async (peer) => {
    peer.write(goAwayFrame(0, CODE.noError, 'h2spec'));
    await pingAnsweredOrClosed(peer, 'h2spec');
  }),
  row('3.9', 'Sends a WINDOW_UPDATE frame with stream ID 0', async (peer) => {
    peer.write(windowUpdateFrame(0, 1));
    await pingAnswered(peer);
  }),
  row('3.9', 'Sends a WINDOW_UPDATE frame with stream ID 1', async (peer) => {
    peer.write(get(peer), windowUpdateFrame(1, 1));
    await answered(peer);
  }),
  row('3.10', 'Sends a CONTINUATION frame', async (peer) => {
    const whole = block(peer.request());
    peer.write(headersFrame(1, whole.subarray(0, FIRST_BYTES), { more: true }));
    peer.write(continuationFrame(1, true, whole.subarray(FIRST_BYTES)));
    await answered(peer);
  }),
  row('3.10', 'Sends multiple CONTINUATION frames', async (peer) => {
    const whole = block(peer.request());
    peer.write(headersFrame(1, whole.subarray(0, FIRST_BYTES), { more: true }));
    peer.write(continuationFrame(1, false, whole.subarray(FIRST_BYTES, 2 * FIRST_BYTES)));
    peer.write(continuationFrame(1, true, whole.subarray(2 * FIRST_BYTES)));
    await answered(peer);
  }),
];

const messages: readonly SpecRow[] = [
  row('4', 'Sends a GET request', async (peer) => {
    peer.write(get(peer));
    await answered(peer);
  }),
  row('4', 'Sends a HEAD request', async (peer) => {
    peer.write(headersFrame(1, block(peer.request({ method: 'HEAD' }))));
    await answered(peer);
  }),
  row('4', 'Sends a POST request', async (peer) => {
    peer.write(post(peer), dataFrame(1, true, 'test'));
    await answered(peer);
  }),
  row('4', 'Sends a POST request with trailers', async (peer) => {
    peer.write(post(peer, 1, [['trailer', 'x-test']]), dataFrame(1, false, 'test'));
    peer.write(headersFrame(1, block([['x-test', 'ok']])));
    await answered(peer);
  }),
];

// Names and values: `user-agent: h2spec` by its name in full (0a75..) or in Huffman code (87b5..), `x-test: h2spec` likewise.
const hpack: readonly SpecRow[] = [
  accepted('Sends a indexed header field representation', 'ba'),
  accepted('Sends a literal header field with incremental indexing - indexed name', '4087b505b161cc5a93849c48aca4'),
  accepted(
    'Sends a literal header field with incremental indexing - indexed name (with Huffman coding)',
    '400a757365722d6167656e7406683273706563',
  ),
  accepted('Sends a literal header field with incremental indexing - new name', '4006782d7465737406683273706563'),
  accepted(
    'Sends a literal header field with incremental indexing - new name (with Huffman coding)',
    '4085f2b24a84ff849c48aca4',
  ),
  accepted('Sends a literal header field without indexing - indexed name', '000a757365722d6167656e7406683273706563'),
  accepted(
    'Sends a literal header field without indexing - indexed name (with Huffman coding)',
    '0087b505b161cc5a93849c48aca4',
  ),
  accepted('Sends a literal header field without indexing - new name', '0006782d7465737406683273706563'),
  accepted('Sends a literal header field without indexing - new name (huffman encoded)', '0085f2b24a84ff849c48aca4'),
  accepted('Sends a literal header field never indexed - indexed name', '100a757365722d6167656e7406683273706563'),
  accepted(
    'Sends a literal header field never indexed - indexed name (huffman encoded)',
    '1087b505b161cc5a93849c48aca4',
  ),
  accepted('Sends a literal header field never indexed - new name', '1006782d7465737406683273706563'),
  accepted('Sends a literal header field never indexed - new name (huffman encoded)', '1085f2b24a84ff849c48aca4'),
  row('5', 'Sends a dynamic table size update', async (peer) => {
    peer.write(getWith(peer, Buffer.from('3f61', 'hex'), Buffer.alloc(0)));
    await answered(peer);
  }),
  row('5', 'Sends multiple dynamic table size update', async (peer) => {
    peer.write(getWith(peer, Buffer.from('3f613fe11f', 'hex'), Buffer.alloc(0)));
    await answered(peer);
  }),
];

// Beyond h2spec, which names literals with an indexed name and sends none: index 58 is user-agent.
const own: readonly SpecRow[] = [
  accepted('accepts a literal with incremental indexing whose name is an index', '7a06683273706563'),
  accepted('accepts a literal without indexing whose name is an index', '0f2b06683273706563'),
  accepted('accepts a literal never indexed whose name is an index', '1f2b06683273706563'),
  row('3.10', 'accepts a field block whose last CONTINUATION is empty', async (peer) => {
    peer.write(headersFrame(1, block(peer.request()), { more: true }), continuationFrame(1, true, Buffer.alloc(0)));
    await answered(peer);
  }),
  row('3.2', 'accepts padding and priority in one HEADERS', async (peer) => {
    peer.write(headersFrame(1, block(peer.request()), { pad: 255, priority: PRIORITY }));
    await answered(peer);
  }),
  row('3.1', 'accepts DATA that is nothing but padding', async (peer) => {
    peer.write(post(peer), dataFrame(1, false, '', 255), dataFrame(1, true, '', 0));
    await answered(peer);
  }),
  row('3.10', 'accepts fields that fill more than one frame', async (peer) => {
    peer.write(headersFrame(1, block(peer.request()), { more: true }));
    peer.write(continuationFrame(1, false, dummyBlock(1)), continuationFrame(1, true, dummyBlock(2)));
    await answered(peer);
  }),
  row('4', 'answers a request that arrives byte by byte', async (peer) => {
    peer.socket.setNoDelay(true);
    for (const byte of Buffer.concat([post(peer), dataFrame(1, true, 'test', 3)])) {
      peer.write(Buffer.from([byte]));
      await peer.drained();
    }
    await answered(peer);
  }),
  row('3.5', 'accepts an unknown frame on a stream and a SETTINGS without values', async (peer) => {
    peer.write(frame({ type: 0xbe, flags: 0xff, stream: 77 }, Buffer.alloc(100)), settingsFrame([]));
    await settingsAcknowledged(peer);
  }),
];

conformance('generic', [...streams, ...frames, ...messages, ...hpack, ...own], []);
