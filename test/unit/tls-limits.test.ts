/** SNI, peer chains and endpoint URLs: what strangers and configuration may make us send, read and dial. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type TLSSocket } from 'node:tls';

import { readEndpointUrl } from '../../trust-bundles/tls/endpoint-url.ts';
import {
  CERTIFICATE_BYTES_MAX,
  CHAIN_BYTES_MAX,
  CHAIN_CERTIFICATES_MAX,
  peerChain,
} from '../../trust-bundles/tls/peer-chain.ts';
import { serverNameFor } from '../../trust-bundles/tls/server-name.ts';

test('host names of letters, digits and hyphens are sent as SNI, lower-case and without the trailing dot', () => {
  assert.equal(serverNameFor('GW.us-east.Example.org'), 'gw.us-east.example.org');
  assert.equal(serverNameFor('gw.example.org.'), 'gw.example.org');
  assert.equal(serverNameFor('localhost'), 'localhost');
  assert.equal(serverNameFor(`${'a'.repeat(63)}.example`), `${'a'.repeat(63)}.example`);
});

test('everything else is dialled without SNI', () => {
  const bad = [
    '10.0.0.1',
    '::1',
    'under_score.example',
    '-a.example',
    'a-.example',
    'a..b',
    '',
    '.',
    'ex ample',
    'b\u00fccher.example',
    `${'a'.repeat(64)}.example`,
    `${'a.'.repeat(126)}ab`,
    'a\0b',
  ];
  for (const host of bad) assert.equal(serverNameFor(host), undefined, JSON.stringify(host));
  assert.notEqual(serverNameFor(`${'a.'.repeat(126)}a`), undefined);
});

test('an endpoint URL is https without userinfo', () => {
  assert.equal(readEndpointUrl('https://gw.example:8443/').kind, 'url');
  for (const text of [
    'http://gw.example/',
    'ftp://gw.example/',
    'gw.example/',
    '',
    'https://',
    'https://user@gw.example/',
    'https://user:pw@gw.example/',
    'https://@gw.example/',
    'https://:@gw.example/',
    'https://gw.example:0/',
    'https://gw.example:65536/',
    `https://gw.example/${'a'.repeat(2_048)}`,
  ]) {
    assert.equal(readEndpointUrl(text).kind, 'problem', text);
  }
});

test('a redirect stays on its host and on https', () => {
  const from = new URL('https://gw.example:8443/bundle');
  const target = readEndpointUrl('/other', from);
  assert.equal(target.kind === 'url' && target.url.href, 'https://gw.example:8443/other');
  for (const text of [
    'https://elsewhere.example/',
    '//elsewhere.example/',
    'http://gw.example:8443/',
    '//u@gw.example:8443/',
    'https://gw.example.:8443/',
  ]) {
    assert.equal(readEndpointUrl(text, from).kind, 'problem', text);
  }
});

interface FakeCertificate {
  readonly raw: Buffer;
  issuerCertificate: FakeCertificate | undefined;
}

function fakeChain(sizes: readonly number[]): FakeCertificate | undefined {
  let issuer: FakeCertificate | undefined;
  for (const [index, size] of [...sizes].reverse().entries()) {
    const raw = Buffer.alloc(size, index + 1);
    issuer = { raw, issuerCertificate: issuer };
  }
  return issuer;
}

function socketWith(certificate: FakeCertificate | undefined, reused = false): TLSSocket {
  return { isSessionReused: () => reused, getPeerX509Certificate: () => certificate } as unknown as TLSSocket;
}

test('a chain at each limit is read and one beyond is refused', () => {
  const judge = (sizes: readonly number[]): string => {
    const peer = peerChain(socketWith(fakeChain(sizes)));
    return peer.kind === 'chain' ? `${peer.chain.length}` : peer.code;
  };
  assert.equal(judge(Array<number>(CHAIN_CERTIFICATES_MAX).fill(100)), String(CHAIN_CERTIFICATES_MAX));
  assert.equal(judge(Array<number>(CHAIN_CERTIFICATES_MAX + 1).fill(100)), 'chain-too-long');
  assert.equal(judge([CERTIFICATE_BYTES_MAX]), '1');
  assert.equal(judge([CERTIFICATE_BYTES_MAX + 1]), 'certificate-too-large');
  assert.equal(judge([CHAIN_BYTES_MAX / 2, CHAIN_BYTES_MAX / 2]), '2');
  assert.equal(judge([CHAIN_BYTES_MAX / 2, CHAIN_BYTES_MAX / 2, 1]), 'chain-too-large');
});

test('a chain that comes back to itself ends there', () => {
  const leaf = fakeChain([10, 20]);
  assert.ok(leaf?.issuerCertificate);
  leaf.issuerCertificate.issuerCertificate = leaf;
  const peer = peerChain(socketWith(leaf));
  assert.equal(peer.kind === 'chain' && peer.chain.length, 2);
});

test('a resumed session is refused before its certificate is looked at', () => {
  const peer = peerChain(socketWith(fakeChain([10]), true));
  assert.equal(peer.kind === 'rejected' && peer.code, 'session-resumed');
  const none = peerChain(socketWith(undefined));
  assert.equal(none.kind === 'rejected' && none.code, 'no-certificate');
});
