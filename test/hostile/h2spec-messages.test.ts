/** h2spec, "Hypertext Transfer Protocol Version 2", sections 7 and 8: error codes, and requests that are malformed. */
import {
  answered,
  conformance,
  connectionError,
  fatalToStream,
  get,
  pingAnsweredOrClosed,
  post,
  row,
  type SpecRow,
} from '../support/h2spec.ts';
import {
  CODE,
  dataFrame,
  goAwayFrame,
  headersFrame,
  type Pairs,
  pushPromiseFrame,
  rstFrame,
} from '../support/http2-frames.ts';
import { block } from '../support/raw-hpack.ts';
import { type RawHttp2 } from '../support/raw-http2.ts';

/** A request of these fields is a stream error of PROTOCOL_ERROR. */
function malformed(title: string, fields: (request: Pairs) => Pairs, end = true): SpecRow {
  return malformedFrames(title, (peer) => [headersFrame(1, block(fields(peer.request())), { end })]);
}

/** Frames that are a stream error of PROTOCOL_ERROR. */
function malformedFrames(title: string, frames: (peer: RawHttp2) => readonly Buffer[]): SpecRow {
  return fatalToStream(title, CODE.protocolError, frames);
}

const without = (name: string) => (request: Pairs) => request.filter(([each]) => each !== name);
const withField = (name: string, value: string) => (request: Pairs) => [...request, [name, value]] as const;
const repeated = (name: string) => (request: Pairs) => [...request, ...request.filter(([each]) => each === name)];
const replaced = (name: string, value: string) => (request: Pairs) =>
  request.map(([each, old]) => [each, each === name ? value : old] as const);

const errorCodes: readonly SpecRow[] = [
  row('7', 'Sends a GOAWAY frame with unknown error code', async (peer) => {
    peer.write(goAwayFrame(0, 0xff));
    await pingAnsweredOrClosed(peer, 'h2spec');
  }),
  row('7', 'Sends a RST_STREAM frame with unknown error code', async (peer) => {
    peer.write(post(peer), rstFrame(1, 0xff));
    await pingAnsweredOrClosed(peer);
  }),
];

const messages: readonly SpecRow[] = [
  malformedFrames('8.1 Sends a second HEADERS frame without the END_STREAM flag', (peer) => [
    post(peer),
    dataFrame(1, false, 'test'),
    headersFrame(1, block([['x-test', 'ok']]), { end: false }),
  ]),
  malformed(
    '8.1.2 Sends a HEADERS frame that contains the header field name in uppercase letters',
    withField('X-TEST', 'ok'),
  ),
  malformed('8.1.2.1 Sends a HEADERS frame that contains a unknown pseudo-header field', withField(':test', 'ok')),
  malformed(
    '8.1.2.1 Sends a HEADERS frame that contains the pseudo-header field defined for response',
    withField(':status', '200'),
  ),
  malformedFrames('8.1.2.1 Sends a HEADERS frame that contains a pseudo-header field as trailers', (peer) => [
    post(peer),
    dataFrame(1, false, 'test'),
    headersFrame(1, block([[':method', 'POST']]), { end: false }),
  ]),
  malformed(
    '8.1.2.1 Sends a HEADERS frame that contains a pseudo-header field that appears in a header block after a regular header field',
    (request) => [['x-test', 'ok'], ...request],
  ),
  malformed(
    '8.1.2.2 Sends a HEADERS frame that contains the connection-specific header field',
    withField('connection', 'keep-alive'),
  ),
  malformed(
    '8.1.2.2 Sends a HEADERS frame that contains the TE header field with any value other than "trailers"',
    (request) => [...request, ['trailers', 'test'], ['te', 'trailers, deflate']],
  ),
  malformed('8.1.2.3 Sends a HEADERS frame with empty ":path" pseudo-header field', replaced(':path', '')),
  // As h2spec has it: without :scheme as well.
  malformed('8.1.2.3 Sends a HEADERS frame that omits ":method" pseudo-header field', (request) =>
    without(':method')(without(':scheme')(request)),
  ),
  malformed('8.1.2.3 Sends a HEADERS frame that omits ":scheme" pseudo-header field', without(':scheme')),
  malformed('8.1.2.3 Sends a HEADERS frame that omits ":path" pseudo-header field', without(':path')),
  malformed('8.1.2.3 Sends a HEADERS frame with duplicated ":method" pseudo-header field', repeated(':method')),
  malformed('8.1.2.3 Sends a HEADERS frame with duplicated ":scheme" pseudo-header field', repeated(':scheme')),
  malformed('8.1.2.3 Sends a HEADERS frame with duplicated ":path" pseudo-header field', repeated(':path')),
  malformedFrames(
    '8.1.2.6 Sends a HEADERS frame with the "content-length" header field which does not equal the DATA frame payload length',
    (peer) => [post(peer, 1, [['content-length', '1']]), dataFrame(1, true, 'test')],
  ),
  malformedFrames(
    '8.1.2.6 Sends a HEADERS frame with the "content-length" header field which does not equal the sum of the multiple DATA frames payload length',
    (peer) => [post(peer, 1, [['content-length', '1']]), dataFrame(1, false, 'test'), dataFrame(1, true, 'test')],
  ),
  row('8.2', 'Sends a PUSH_PROMISE frame', async (peer) => {
    peer.write(pushPromiseFrame(1, 3, block(peer.request())));
    await connectionError(peer, CODE.protocolError);
  }),
];

const own: readonly SpecRow[] = [
  malformed('8.3.1 refuses a request that omits only :method', without(':method')),
  malformed('8.3.1 refuses a repeated :authority', repeated(':authority')),
  row('8.2.2', 'accepts te: trailers', async (peer) => {
    peer.write(get(peer, 1, [['te', 'trailers']]));
    await answered(peer);
  }),
  row('8.1.1', 'accepts a body of exactly its content-length', async (peer) => {
    peer.write(post(peer, 1, [['content-length', '8']]), dataFrame(1, false, 'test'), dataFrame(1, true, 'test', 9));
    await answered(peer);
  }),
  malformedFrames('8.1.1 refuses a body one byte short of its content-length', (peer) => [
    post(peer, 1, [['content-length', '5']]),
    dataFrame(1, true, 'test'),
  ]),
  malformedFrames('8.1.1 refuses trailers before the whole content-length', (peer) => [
    post(peer, 1, [['content-length', '5']]),
    dataFrame(1, false, 'test'),
    headersFrame(1, block([['x-test', 'ok']])),
  ]),
  malformed('8.1.1 refuses a content-length above 0 with END_STREAM', withField('content-length', '1')),
  row('8.1', 'a malformed request leaves the connection and its table alone', async (peer) => {
    peer.write(get(peer, 1, [['X-UPPER', 'v']]), get(peer, 3));
    await answered(peer, 3);
  }),
];

/** Where node:http2 (nghttp2) breaks the rule as h2spec reads it. */
const NODE_FAILS: readonly string[] = [
  '8.1.2.6 Sends a HEADERS frame with the "content-length" header field which does not equal the DATA frame payload length',
  '8.1.2.6 Sends a HEADERS frame with the "content-length" header field which does not equal the sum of the multiple DATA frames payload length',
];

conformance('http2', [...errorCodes, ...messages, ...own], NODE_FAILS);
