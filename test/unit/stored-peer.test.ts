/** Rows of peers. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { asRecord } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';
import { readStoredPeer, writeStoredPeer } from '../../federation/resources/stored-peer.ts';
import { gatewayIdOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { EU, storedPeer } from '../support/federation-values.ts';

suite('a stored peer', () => {
  const peer = storedPeer('eu-west', EU);

  test('comes back as it was written', () => {
    assert.deepEqual(readStoredPeer(writeStoredPeer(peer)), peer);
    const endpoint = { kind: 'https_spiffe', url: 'https://gw.eu:8443/', spiffeId: gatewayIdOf(EU) } as const;
    const other = storedPeer('eu-west', EU, { source: 'yaml', gateways: [], bundleEndpoint: endpoint });
    assert.deepEqual(readStoredPeer(writeStoredPeer(other)), other);
    const web = storedPeer('eu-west', EU, { bundleEndpoint: { kind: 'https_web', url: 'https://gw.eu/' } });
    assert.deepEqual(readStoredPeer(writeStoredPeer(web)), web);
  });

  test('may have members of a newer version, which are ignored', () => {
    const row = writeStoredPeer(peer).replace('{', '{"colour":"blue",');
    assert.deepEqual(readStoredPeer(row), peer);
  });

  const wrong: readonly (readonly [change: Record<string, unknown>, because: RegExp])[] = [
    [{ format: 2 }, /expected format 1, found "2": a newer gateway/],
    [{ name: '../x' }, /expected a name/],
    [{ trustDomain: 'EU' }, /expected a trust domain/],
    [{ gatewayId: 'spiffe://us-east.example.org/jumpgate' }, /expected a gateway ID of eu-west/],
    [{ gatewayId: 7 }, /expected a SPIFFE ID as gatewayId/],
    [{ gateways: {} }, /expected a list of at most 64 gateways/],
    [{ gateways: [{ host: 'a', port: 0 }] }, /expected host and port/],
    [{ gateways: [{ host: '', port: 1 }] }, /expected host and port/],
    [{ gateways: [null] }, /expected host and port/],
    [{ bundleEndpoint: { kind: 'https_web', url: 'http://a/' } }, /expected a bundle endpoint/],
    [{ bundleEndpoint: { kind: 'https_other', url: 'https://a/' } }, /expected a bundle endpoint/],
    [{ bundleEndpoint: { kind: 'https_spiffe', url: 'http://a/' } }, /expected a bundle endpoint/],
    [
      { bundleEndpoint: { kind: 'https_spiffe', url: 'https://a/', spiffeId: 'spiffe://us-east.example.org/x' } },
      /expected an endpoint ID of eu-west/,
    ],
    [{ joinedAtMs: '1' }, /expected joinedAtMs/],
    [{ joinedAtMs: -1 }, /expected joinedAtMs/],
    [{ source: 'magic' }, /expected source join or yaml/],
  ];
  for (const [change, because] of wrong) {
    test(`is refused with ${JSON.stringify(change)}`, () => {
      const text = JSON.stringify({ ...asRecord(JSON.parse(writeStoredPeer(peer))), ...change });
      assert.throws(
        () => readStoredPeer(text),
        (error) =>
          error instanceof JumpgateError && error.code === 'stored-peer-malformed' && because.test(error.message),
      );
    });
  }

  test('is refused when it is no JSON object', () => {
    for (const text of ['', '[]', 'null', '{"format":1', '{"format":1,"format":1}']) {
      assert.throws(() => readStoredPeer(text), { code: 'stored-peer-malformed' }, text);
    }
  });
});
