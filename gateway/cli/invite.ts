/** `jumpgate invite`: a token that lets another mesh register this one. */
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { cell, formatOf, listOf, memberOf, print, textOf } from './output.ts';
import { secondsOf } from './seconds.ts';
import { LIVE_OPTIONS, type Verb } from './verb.ts';

/** Makes an invite; the token alone goes to standard output, so that it pipes. */
export const inviteVerb: Verb = {
  name: 'invite',
  summary: 'make a one-use token that lets another mesh join',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: {
    ...LIVE_OPTIONS,
    peer: { argument: 'NAME', help: 'what the other mesh is called here' },
    'trust-domain': { argument: 'TD', help: 'the one trust domain that may redeem it' },
    ttl: { argument: 'DURATION', help: 'how long it can be redeemed, such as 15m (the default)' },
    approve: { help: 'hold the peer until "peers approve"' },
  },
  details: ['Whoever holds the token can redeem it: send it over a channel that you trust, and compare fingerprints.'],
  run: async (context) => {
    const { given, io } = context;
    formatOf(context);
    const request = {
      peer: given.required('peer'),
      trustDomain: given.required('trust-domain'),
      ttlSeconds: secondsOf(given, 'ttl'),
      approve: given.flag('approve'),
    };
    const invite = await (await openClient(context)).ask('POST', '/v1/invites', request);
    print(context, invite, () => `${textOf(invite, 'token')}\n`);
    io.stderr.write(`our root:  ${cell(memberOf(invite, 'fingerprint'))}\n`);
    for (const address of listOf(invite, 'addresses'))
      io.stderr.write(
        `address:   ${cell(memberOf(address, 'address'))} reachable from here: ${cell(memberOf(address, 'reachable'))}, ${cell(memberOf(address, 'message'))}\n`,
      );
    io.stderr.write(`expires:   ${cell(memberOf(invite, 'expiresAt'))}, one use, for ${request.trustDomain} only\n`);
    return EXIT.ok;
  },
};
