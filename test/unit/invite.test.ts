/** The text of an invite: what is read, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { decodeInvite, encodeInvite, newInviteSecret, type Invite } from '../../federation/peering/invite.ts';
import { gatewayIdOf, parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { testDomain } from '../support/trust.ts';

const eu = testDomain('eu.example');
const invite: Invite = {
  ...newInviteSecret(),
  mesh: 'eu-west',
  inviter: {
    trustDomain: eu.trustDomain,
    gatewayId: gatewayIdOf(eu.trustDomain),
    addresses: [{ host: 'gw.eu.example', port: 15443 }],
    bundleEndpoint: { kind: 'https_spiffe', url: 'https://gw.eu.example:8443/', spiffeId: gatewayIdOf(eu.trustDomain) },
    bundle: eu.bundle,
  },
  audience: parseTrustDomain('us.example'),
  expiresAtMs: 1_800_000_000_000,
};

test('an invite survives writing and reading, white space of a terminal around it too', () => {
  const token = encodeInvite(invite);
  assert.match(token, /^jg1\.[A-Za-z0-9_-]+$/);
  const read = decodeInvite(` ${token}\n`);
  assert.deepEqual({ ...read, inviter: undefined }, { ...invite, inviter: undefined });
  assert.equal(read.inviter.bundle.x509Authorities[0]?.fingerprint, eu.root.fingerprint);
  assert.deepEqual(read.inviter.bundleEndpoint, invite.inviter.bundleEndpoint);
});

test('a token of which any one character is another is refused', () => {
  const token = encodeInvite(invite);
  fc.assert(
    fc.property(fc.nat(token.length - 1), fc.constantFrom('A', 'b', '3', '-', '!', ' '), (at, character) => {
      if (token[at] === character) return;
      const altered = token.slice(0, at) + character + token.slice(at + 1);
      if (altered.trim() === token) return;
      assert.throws(() => decodeInvite(altered), { code: 'invite-malformed' });
    }),
  );
  assert.throws(() => decodeInvite(token.slice(0, -5)), { code: 'invite-malformed' });
  assert.throws(() => decodeInvite(''), { code: 'invite-malformed' });
});

test('an invite whose parts do not belong together is refused', () => {
  const refused = (part: Partial<Invite['inviter']>): void =>
    assert.throws(() => decodeInvite(encodeInvite({ ...invite, inviter: { ...invite.inviter, ...part } })), {
      code: 'invite-malformed',
    });
  refused({ gatewayId: parseSpiffeId('spiffe://other.example/jumpgate') });
  refused({ bundle: { ...eu.bundle, x509Authorities: [] } });
  refused({ addresses: [{ host: 'a b', port: 1 }] });
  refused({ addresses: [{ host: 'a', port: 0 }] });
  refused({ bundleEndpoint: { kind: 'https_spiffe', url: 'http://x/', spiffeId: gatewayIdOf(eu.trustDomain) } });
});
