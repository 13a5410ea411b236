/** Requests that HTTP/2 calls malformed: catalogue rows C25 to C28. None reaches the service, and the connection lives. */
import assert from 'node:assert/strict';

import { request, resetsOf, underAttack } from '../support/http2-attack.ts';
import { CODE, dataFrame, headersFrame, type Pairs } from '../support/http2-frames.ts';
import { block } from '../support/raw-hpack.ts';

type Change = (request: Pairs) => Pairs;

const plus =
  (name: string, value: string): Change =>
  (request) => [...request, [name, value]];
const set =
  (name: string, value: string): Change =>
  (request) =>
    request.map(([each, old]) => [each, each === name ? value : old]);
const without =
  (...names: readonly string[]): Change =>
  (request) =>
    request.filter(([name]) => !names.includes(name));
const twice =
  (name: string): Change =>
  (request) =>
    request.flatMap((pair) => (pair[0] === name ? [pair, pair] : [pair]));

const MALFORMED: Readonly<Record<string, Change>> = {
  'C25 a name with an upper-case letter': plus('x-Upper', 'v'),
  'C25 a name with a colon inside': plus('x:y', 'v'),
  'C25 an empty name': plus('', 'v'),
  'C25 a name with a space': plus('x y', 'v'),
  'C25 a name with CR LF': plus('x\r\ny', 'v'),
  'C25 a name with NUL': plus('x\0y', 'v'),
  'C25 a name with an 8-bit byte': plus('x\xff', 'v'),
  'C25 a name with DEL': plus('x\x7f', 'v'),
  'C25 a value with LF': plus('x', 'a\nb'),
  'C25 a value with CR': plus('x', 'a\rb'),
  'C25 a value with CR LF and a field': plus('x', 'a\r\nhost: evil'),
  'C25 a value with NUL': plus('x', 'a\0b'),
  'C25 a value with a space before it': plus('x', ' a'),
  'C25 a value with a space after it': plus('x', 'a '),
  'C25 a value with a tab before it': plus('x', '\ta'),
  'C25 a value with a tab after it': plus('x', 'a\t'),
  'C26 :method twice': twice(':method'),
  'C26 :path twice': twice(':path'),
  'C26 :scheme twice': twice(':scheme'),
  'C26 :authority twice': twice(':authority'),
  'C26 no :method': without(':method'),
  'C26 no :path': without(':path'),
  'C26 no :scheme': without(':scheme'),
  'C26 an unknown pseudo-header field': plus(':unknown', 'v'),
  'C26 :status in a request': plus(':status', '200'),
  'C26 :path after a regular field': (request) => [...without(':path')(request), ['x', 'v'], [':path', '/']],
  'C26 :path empty': set(':path', ''),
  'C26 :path without a slash': set(':path', 'admin'),
  'C26 :path with a space': set(':path', '/a b'),
  'C26 :path with CR LF': set(':path', '/ HTTP/1.1\r\nhost: evil'),
  'C26 :path with NUL': set(':path', '/\0'),
  'C26 :path with a fragment': set(':path', '/a#b'),
  'C26 :path in absolute form': set(':path', 'http://evil/'),
  'C26 :path * of a GET': set(':path', '*'),
  'C26 :method empty': set(':method', ''),
  'C26 :method with a space': set(':method', 'GET /'),
  'C26 :method with CR LF': set(':method', 'GET\r\nx: y'),
  'C26 :method with a colon': set(':method', 'G:T'),
  'C26 :authority with CR LF': set(':authority', 'a\r\nx: y'),
  'C26 :authority with a space': set(':authority', 'a b'),
  'C26 :authority with userinfo': set(':authority', 'user@host'),
  'C26 :authority with a slash': set(':authority', 'host/path'),
  'C26 :scheme with a space': set(':scheme', 'ht tp'),
  'C26 :scheme empty': set(':scheme', ''),
  'C26 host unlike :authority': plus('host', 'other.example'),
  'C26 :protocol without CONNECT': plus(':protocol', 'websocket'),
  'C26 CONNECT with :path and :scheme and no :protocol': set(':method', 'CONNECT'),
  'C26 CONNECT without :authority': () => [[':method', 'CONNECT']],
  'C27 connection': plus('connection', 'close'),
  'C27 keep-alive': plus('keep-alive', 'timeout=5'),
  'C27 proxy-connection': plus('proxy-connection', 'keep-alive'),
  'C27 upgrade': plus('upgrade', 'h2c'),
  'C27 transfer-encoding': plus('transfer-encoding', 'chunked'),
  'C27 te other than trailers': plus('te', 'gzip'),
  'C27 te of trailers and more': plus('te', 'trailers, gzip'),
  'C28 content-length that is no number': plus('content-length', 'five'),
  'C28 content-length with a sign': plus('content-length', '+0'),
  'C28 content-length below zero': plus('content-length', '-1'),
  'C28 content-length empty': plus('content-length', ''),
  'C28 content-length in hexadecimal': plus('content-length', '0x0'),
  'C28 content-length as a list': plus('content-length', '0, 0'),
  'C28 content-length beyond 2^53': plus('content-length', '99999999999999999999'),
  'C28 two content-lengths that differ': (request) => [...request, ['content-length', '0'], ['content-length', '1']],
  'C28 content-length above 0 with END_STREAM': plus('content-length', '5'),
};

for (const [name, change] of Object.entries(MALFORMED))
  underAttack(`${name} is a stream error, and nothing reaches the service`, async ({ peer, application }) => {
    peer.write(headersFrame(1, block(change(peer.request({ path: '/hold' })))));
    assert.ok(await peer.alive(), peer.story());
    assert.deepEqual([...resetsOf(peer)], [[1, CODE.protocolError]], peer.story());
    assert.ok(
      application.heads.every(({ path }) => path.value === '/'),
      'the service was told of it',
    );
    assert.equal((await peer.get(3)).status, 200);
  });

const ACCEPTED: Readonly<Record<string, Change>> = {
  'C25 a value with a tab and an 8-bit byte inside': plus('x', 'a\tb\xff'),
  'C25 an empty value': plus('x', ''),
  'C25 a name of every token character': plus("!#$%&'*+-.^_`|~09az", 'v'),
  'C26 :path * of OPTIONS': (request) => set(':path', '*')(set(':method', 'OPTIONS')(request)),
  'C26 host equal to :authority': (request) => [
    ...request,
    ['host', request.find(([name]) => name === ':authority')?.[1] ?? ''],
  ],
  'C26 host instead of :authority': (request) => [...without(':authority')(request), ['host', 'a.example']],
  'C27 te: trailers': plus('te', 'trailers'),
  'C28 content-length 0 with END_STREAM': plus('content-length', '0'),
};

for (const [name, change] of Object.entries(ACCEPTED))
  underAttack(`${name} is served`, async ({ peer }) => {
    peer.write(headersFrame(1, block(change(peer.request()))));
    assert.equal((await peer.response(1)).status, 200, peer.story());
  });

const BODIES: Readonly<Record<string, readonly (readonly [string, boolean])[]>> = {
  'one byte short': [['test', true]],
  'one byte long': [['testes', true]],
  'long by a second frame': [
    ['testi', false],
    ['x', false],
  ],
  'ended by an empty frame too early': [
    ['test', false],
    ['', true],
  ],
};

for (const [name, frames] of Object.entries(BODIES))
  underAttack(`C28 a body of content-length 5 that is ${name} is a stream error`, async ({ peer, application }) => {
    peer.write(request(peer, 1, { method: 'POST', end: false, more: [['content-length', '5']] }));
    peer.write(...frames.map(([text, end]) => dataFrame(1, end, text)));
    assert.ok(await peer.alive());
    assert.deepEqual([...resetsOf(peer)], [[1, CODE.protocolError]], peer.story());
    assert.deepEqual(application.resets.length, 1);
    assert.ok(application.received <= 5, `${application.received} bytes of a body of 5`);
  });

const TRAILERS: Readonly<Record<string, Pairs>> = {
  'a pseudo-header field': [[':path', '/']],
  'a connection field': [['connection', 'close']],
  'an upper-case name': [['X-Test', 'v']],
  'CR LF in a value': [['x-test', 'a\r\nb']],
};

for (const [name, pairs] of Object.entries(TRAILERS))
  underAttack(`C26 trailers with ${name} are a stream error`, async ({ peer, application }) => {
    peer.write(request(peer, 1, { method: 'POST', end: false }), dataFrame(1, false, 'x'));
    peer.write(headersFrame(1, block(pairs)));
    assert.ok(await peer.alive());
    assert.deepEqual([...resetsOf(peer)], [[1, CODE.protocolError]], peer.story());
    assert.equal(application.resets.length, 1);
  });
