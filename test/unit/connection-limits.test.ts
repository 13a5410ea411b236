/** What documents say of connections, as the engines take it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DEFAULT_LIMITS, LINK_CREDIT_BYTES, linkGrowthBytes, type Limits } from '../../federation/resources/limits.ts';
import { STRANGER_HTTP1 } from '../../gateway/http1/limits.ts';
import {
  CONNECTION_CREDIT_BYTES_MAX,
  LINK_CONNECTION,
  OWN_CALLER_CONNECTION,
  STRANGER_CONNECTION,
} from '../../gateway/http2/limits.ts';
import { acceptLimits } from '../../gateway/listen/accept-limits.ts';
import {
  callerHttp1,
  callerHttp2,
  ownCallerHttp2,
  linkHttp2,
  serviceHttp1,
  serviceHttp2,
} from '../../gateway/socket/connection-limits.ts';

test('without documents the engines have the same limits as with documents that say nothing', () => {
  assert.deepEqual(callerHttp1(DEFAULT_LIMITS), STRANGER_HTTP1);
  assert.deepEqual(callerHttp2(DEFAULT_LIMITS), STRANGER_CONNECTION);
  assert.deepEqual(ownCallerHttp2(DEFAULT_LIMITS), OWN_CALLER_CONNECTION);
  assert.deepEqual(serviceHttp1(DEFAULT_LIMITS), STRANGER_HTTP1);
  // What gateways add to a head must cross, and a target that HTTP/1.1 counts apart.
  const heads = { headerBytesMax: 32 * 1024, headerFieldsMax: 116 };
  assert.deepEqual(linkHttp2(DEFAULT_LIMITS), { ...LINK_CONNECTION, ...heads });
  assert.equal(LINK_CREDIT_BYTES, CONNECTION_CREDIT_BYTES_MAX);
});

/** Each limit, and what differs at the connections that it is of. */
const READ_BY: readonly (readonly [Partial<Limits>, (limits: Limits) => object, object])[] = [
  [{ headersMs: 200 }, callerHttp1, { headersTimeoutMs: 200 }],
  [{ headersMs: 200 }, callerHttp2, { headerTimeoutMs: 200 }],
  [{ headersMs: 200 }, linkHttp2, { headerTimeoutMs: 200 }],
  [{ headerBytes: 20_000 }, callerHttp1, { headerBytesMax: 20_000 }],
  [{ headerBytes: 20_000 }, callerHttp2, { headerBytesMax: 20_000 }],
  [{ headerBytes: 20_000 }, serviceHttp1, { headerBytesMax: 20_000 }],
  [{ headerBytes: 20_000 }, serviceHttp2, { headerBytesMax: 20_000 }],
  [{ headerBytes: 20_000 }, linkHttp2, { headerBytesMax: 36_384 }],
  [{ headerBytes: 400_000 }, linkHttp2, { headerBytesMax: 416_384, continuationsMax: 26 }],
  [{ headerFields: 20 }, callerHttp1, { headerFieldsMax: 20 }],
  [{ headerFields: 20 }, callerHttp2, { headerFieldsMax: 20 }],
  [{ headerFields: 20 }, linkHttp2, { headerFieldsMax: 36 }],
  [{ headerNameBytes: 20 }, callerHttp1, { headerNameBytesMax: 20 }],
  [{ headerNameBytes: 20 }, callerHttp2, { headerNameBytesMax: 20 }],
  [{ targetBytes: 100 }, callerHttp1, { targetBytesMax: 100 }],
  [{ targetBytes: 100 }, callerHttp2, { targetBytesMax: 100 }],
  [{ continuationFrames: 3 }, callerHttp2, { continuationsMax: 3 }],
  [{ streamsPerConnection: 3 }, callerHttp2, { streamsMax: 3, lingeringMax: 3 }],
  [{ streamsPerConnection: 3 }, linkHttp2, {}],
  [{ streamWindowBytes: 2_048 }, callerHttp1, { windowBytes: 2_048 }],
  [{ streamWindowBytes: 2_048 }, callerHttp2, { streamWindowBytes: 2_048, streamWindowBytesMax: 2_048 }],
  [{ streamWindowBytes: 2_048 }, serviceHttp1, {}],
  [{ connectionWindowBytes: 70_000 }, callerHttp2, { connectionWindowBytes: 70_000 }],
  [{ resetsPer10s: 3 }, callerHttp2, { resetsMax: 3 }],
  [{ resetsPer10s: 3 }, ownCallerHttp2, { resetsMax: 3 }],
  [{ resetsPer10s: 3 }, linkHttp2, {}],
  [{ glitches: 4 }, callerHttp2, { glitchesMax: 4 }],
  [{ glitches: 4 }, linkHttp2, {}],
  [{ queuedControlFrames: 10 }, callerHttp2, { controlFramesMax: 10 }],
  [{ queuedControlFrames: 10 }, linkHttp2, { controlFramesMax: 10 }],
  [{ idleKeepAliveMs: 1_000 }, callerHttp1, { idleTimeoutMs: 1_000 }],
  [{ idleKeepAliveMs: 1_000 }, callerHttp2, { idleTimeoutMs: 1_000 }],
  [{ idleKeepAliveMs: 1_000 }, linkHttp2, {}],
  [{ linkStreams: 5 }, linkHttp2, { streamsMax: 5 }],
  [{ linkStreams: 5 }, callerHttp2, {}],
  [
    { linkStreamWindowBytes: 65_535 },
    linkHttp2,
    { streamWindowBytes: 65_535, streamWindowBytesMax: 65_535, growthBytesMax: 0 },
  ],
  [{ linkStreamWindowBytes: 65_536 }, linkHttp2, { streamWindowBytesMax: 65_536, growthBytesMax: 0 }],
  [{ linkStreamWindowBytes: 65_537 }, linkHttp2, { streamWindowBytesMax: 65_537, growthBytesMax: 524_296 }],
  [{ linkConnectionWindowBytes: 2 ** 30 + 1 }, linkHttp2, { connectionWindowBytes: 2 ** 30 + 1 }],
  [{ handshakeMs: 300 }, acceptLimits, { handshakeTimeoutMs: 300 }],
  [{ handshakesPerTurn: 3 }, acceptLimits, { handshakesPerTurn: 3 }],
  [{ connectionsPerListener: 9 }, acceptLimits, { connectionsMax: 9, connectionsPerAddressMax: 3 }],
  [{ keepAliveProbeMs: 5_000 }, acceptLimits, { keepAliveProbeMs: 5_000 }],
];

test('each limit is read by the connections that it is of, and changes nothing else of them', () => {
  for (const [said, made, differs] of READ_BY) {
    const expected = { ...made(DEFAULT_LIMITS), ...differs };
    assert.deepEqual(made({ ...DEFAULT_LIMITS, ...said }), expected, `${made.name} ${JSON.stringify(said)}`);
  }
});

test('what the windows of a link may grow by lets one stream reach its ceiling', () => {
  assert.equal(linkGrowthBytes(DEFAULT_LIMITS), 256 * 1024 * 1024);
  assert.equal(linkGrowthBytes(DEFAULT_LIMITS) / 8, DEFAULT_LIMITS.linkStreamWindowBytes);
});
