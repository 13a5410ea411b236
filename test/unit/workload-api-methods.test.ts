/** The Workload API's wire against bytes written by hand from the specification's field numbers. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { create } from '@bufbuild/protobuf';

import {
  JWTSVIDRequestSchema,
  ValidateJWTSVIDResponseSchema,
  X509SVIDRequestSchema,
  X509SVIDResponseSchema,
} from '../../trust-bundles/workload-api-proto/generated/workload-api_pb.js';
import {
  FETCH_JWT_BUNDLES,
  FETCH_JWT_SVID,
  FETCH_X509_BUNDLES,
  FETCH_X509_SVID,
  SECURITY_HEADER,
  VALIDATE_JWT_SVID,
} from '../../trust-bundles/workload-api-proto/methods.ts';

/** A field of wire type 2: number, length, bytes (all short). */
const field = (number: number, value: Uint8Array | string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
};

test('the methods are those of the specification, outside any package, and only those of bundles and X.509-SVIDs stream', () => {
  const all = [FETCH_X509_SVID, FETCH_X509_BUNDLES, FETCH_JWT_SVID, FETCH_JWT_BUNDLES, VALIDATE_JWT_SVID];
  assert.deepEqual(
    all.map(({ path, responseStream }) => [path, responseStream]),
    [
      ['/SpiffeWorkloadAPI/FetchX509SVID', true],
      ['/SpiffeWorkloadAPI/FetchX509Bundles', true],
      ['/SpiffeWorkloadAPI/FetchJWTSVID', false],
      ['/SpiffeWorkloadAPI/FetchJWTBundles', true],
      ['/SpiffeWorkloadAPI/ValidateJWTSVID', false],
    ],
  );
  assert.deepEqual(SECURITY_HEADER, { name: 'workload.spiffe.io', value: 'true' });
});

test('X.509 messages have the field numbers of the specification', () => {
  const svid = [field(1, 'spiffe://a.test/w'), field(2, 'leaf'), field(3, 'key'), field(4, 'roots'), field(5, 'hint')];
  const foreign = Buffer.concat([field(1, 'spiffe://b.test'), field(2, 'der')]);
  const bytes = Buffer.concat([field(1, Buffer.concat(svid)), field(2, 'crl'), field(3, foreign)]);
  const message = FETCH_X509_SVID.responseDeserialize(bytes);
  const [first] = message.svids;
  assert.equal(first?.spiffeId, 'spiffe://a.test/w');
  assert.deepEqual(
    [first.x509Svid, first.x509SvidKey, first.bundle].map((value) => Buffer.from(value).toString()),
    ['leaf', 'key', 'roots'],
  );
  assert.equal(first.hint, 'hint');
  assert.deepEqual(Object.keys(message.federatedBundles), ['spiffe://b.test']);
  assert.deepEqual(FETCH_X509_SVID.responseSerialize(create(X509SVIDResponseSchema, message)), bytes);
  assert.equal(FETCH_X509_SVID.requestSerialize(create(X509SVIDRequestSchema)).length, 0);
  const bundles = FETCH_X509_BUNDLES.responseDeserialize(Buffer.concat([field(1, 'crl'), field(2, foreign)]));
  assert.deepEqual(Object.keys(bundles.bundles), ['spiffe://b.test']);
});

test('JWT messages have the field numbers of the specification', () => {
  const request = create(JWTSVIDRequestSchema, { audience: ['a', 'b'], spiffeId: 'spiffe://a.test/w' });
  const wire = Buffer.concat([field(1, 'a'), field(1, 'b'), field(2, 'spiffe://a.test/w')]);
  assert.deepEqual(FETCH_JWT_SVID.requestSerialize(request), wire);
  const svid = Buffer.concat([field(1, 'spiffe://a.test/w'), field(2, 'x.y.z'), field(3, 'hint')]);
  const [first] = FETCH_JWT_SVID.responseDeserialize(field(1, svid)).svids;
  assert.deepEqual([first?.spiffeId, first?.svid, first?.hint], ['spiffe://a.test/w', 'x.y.z', 'hint']);
  const jwks = Buffer.concat([field(1, 'spiffe://a.test'), field(2, '{"keys":[]}')]);
  assert.deepEqual(Object.keys(FETCH_JWT_BUNDLES.responseDeserialize(field(1, jwks)).bundles), ['spiffe://a.test']);
  const question = VALIDATE_JWT_SVID.requestDeserialize(Buffer.concat([field(1, 'aud'), field(2, 'x.y.z')]));
  assert.deepEqual([question.audience, question.svid], ['aud', 'x.y.z']);
  const answer = create(ValidateJWTSVIDResponseSchema, { spiffeId: 'spiffe://a.test/w', claims: { aud: ['aud'] } });
  const claim = VALIDATE_JWT_SVID.responseDeserialize(VALIDATE_JWT_SVID.responseSerialize(answer)).claims;
  assert.deepEqual(claim, { aud: ['aud'] });
});

test('bytes that are no message are refused', () => {
  assert.throws(() => FETCH_X509_SVID.responseDeserialize(Buffer.from([0x0a, 0x7f, 0x01])));
});
