/** h2spec, "Hypertext Transfer Protocol Version 2", section 6.9: WINDOW_UPDATE and what the windows let through. */
import {
  conformance,
  dataOfLength,
  fatal,
  fatalToStream,
  frameOf,
  get,
  openGet,
  pingAnswered,
  row,
  settingsAcknowledged,
  type SpecRow,
} from '../support/h2spec.ts';
import {
  CODE,
  codeOf,
  frame,
  FRAME,
  rstFrame,
  SETTING,
  settingsFrame,
  uint32,
  windowUpdateFrame,
} from '../support/http2-frames.ts';

const WINDOW_MAX = 2_147_483_647;

const windows: readonly SpecRow[] = [
  fatal('6.9 Sends a WINDOW_UPDATE frame with a flow control window increment of 0', CODE.protocolError, () => [
    windowUpdateFrame(0, 0),
  ]),
  fatalToStream(
    '6.9 Sends a WINDOW_UPDATE frame with a flow control window increment of 0 on a stream',
    CODE.protocolError,
    (peer) => [openGet(peer), windowUpdateFrame(1, 0)],
  ),
  fatal('6.9 Sends a WINDOW_UPDATE frame with a length other than 4 octets', CODE.frameSizeError, () => [
    frame({ type: FRAME.windowUpdate }, Buffer.from('000001', 'hex')),
  ]),
  row('6.9.1', 'Sends SETTINGS frame to set the initial window size to 1 and sends HEADERS frame', async (peer) => {
    peer.write(settingsFrame([[SETTING.initialWindowSize, 1]]));
    await settingsAcknowledged(peer);
    peer.write(get(peer));
    await dataOfLength(peer, 1);
  }),
  row(
    '6.9.1',
    'Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1',
    async (peer) => {
      peer.write(windowUpdateFrame(0, WINDOW_MAX), windowUpdateFrame(0, WINDOW_MAX));
      await frameOf(peer, FRAME.goAway, (frame) => codeOf(frame) === CODE.flowControlError, 'with FLOW_CONTROL_ERROR');
    },
  ),
  row(
    '6.9.1',
    'Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream',
    async (peer) => {
      peer.write(openGet(peer), windowUpdateFrame(1, WINDOW_MAX), windowUpdateFrame(1, WINDOW_MAX));
      const fits = (frame: { stream: number; payload: Buffer }): boolean =>
        frame.stream === 1 && frame.payload.equals(uint32(CODE.flowControlError));
      await frameOf(peer, FRAME.rstStream, fits, 'with FLOW_CONTROL_ERROR');
    },
  ),
  row('6.9.2', 'Changes SETTINGS_INITIAL_WINDOW_SIZE after sending HEADERS frame', async (peer) => {
    peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]));
    await settingsAcknowledged(peer);
    peer.write(get(peer), settingsFrame([[SETTING.initialWindowSize, 1]]));
    await dataOfLength(peer, 1);
  }),
  row('6.9.2', 'Sends a SETTINGS frame for window size to be negative', async (peer) => {
    peer.write(settingsFrame([[SETTING.initialWindowSize, 3]]));
    await settingsAcknowledged(peer);
    peer.write(get(peer));
    await frameOf(peer, FRAME.data);
    peer.write(settingsFrame([[SETTING.initialWindowSize, 2]]));
    await settingsAcknowledged(peer);
    peer.write(windowUpdateFrame(1, 2));
    await dataOfLength(peer, 1);
  }),
  fatal(
    '6.9.2 Sends a SETTINGS_INITIAL_WINDOW_SIZE settings with an exceeded maximum window size value',
    CODE.flowControlError,
    () => [frame({ type: FRAME.settings }, Buffer.from('000480000000', 'hex'))],
  ),
];

/** What h2spec does not ask. */
const own: readonly SpecRow[] = [
  fatal('6.9 refuses a WINDOW_UPDATE of five bytes on a stream', CODE.frameSizeError, (peer) => [
    openGet(peer),
    frame({ type: FRAME.windowUpdate, stream: 1 }, Buffer.alloc(5)),
  ]),
  row('6.9', 'ignores the reserved bit of a window increment', async (peer) => {
    peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]));
    await settingsAcknowledged(peer);
    peer.write(get(peer), frame({ type: FRAME.windowUpdate, stream: 1 }, uint32(0x80000001)));
    await dataOfLength(peer, 1);
  }),
  row('6.9', 'ignores WINDOW_UPDATE and RST_STREAM on a stream that has ended', async (peer) => {
    await peer.get(1);
    peer.write(windowUpdateFrame(1, 1), rstFrame(1, CODE.cancel));
    await pingAnswered(peer);
  }),
];

/** Where node:http2 (nghttp2) breaks the rule as h2spec reads it. */
const NODE_FAILS: readonly string[] = [
  '6.9.1 Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream',
];

conformance('http2', [...windows, ...own], NODE_FAILS);
