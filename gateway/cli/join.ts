/** `jumpgate join`: redeem another mesh's invite. */
import { openClient } from './client.ts';
import { type CliIo, EXIT } from './io.ts';
import { cell, formatOf, listOf, memberOf, print } from './output.ts';
import { readToken } from './standard-input.ts';
import { LIVE_OPTIONS, usage, type Verb } from './verb.ts';

/** Far longer than a token with a few roots in it. */
const TOKEN_CHARS_MAX = 256 * 1024;

/** Redeems an invite and names each step. */
export const joinVerb: Verb = {
  name: 'join',
  summary: "redeem another mesh's invite",
  operands: 'TOKEN | -',
  operandsMin: 1,
  operandsMax: 1,
  options: {
    ...LIVE_OPTIONS,
    name: { argument: 'NAME', help: 'what the other mesh is called here' },
    'expect-fingerprint': { argument: 'HEX', help: "refuse unless the inviter's root has this SHA-256" },
    replace: { help: 'replace an existing peer of that name whose bundle differs' },
  },
  details: ['"-" reads the token from standard input; as an argument it is visible to every user of this machine.'],
  run: async (context) => {
    const { given, io } = context;
    formatOf(context);
    const request = {
      token: await tokenOf(given.operands[0] ?? '-', io),
      name: given.text('name'),
      expectFingerprint: fingerprintOf(given.text('expect-fingerprint')),
      replace: given.flag('replace'),
    };
    const result = await (await openClient(context)).ask('POST', '/v1/join', request);
    const joined = memberOf(result, 'joined') === true;
    print(context, result, () =>
      joined ? `joined ${cell(memberOf(result, 'peer'))} (${cell(memberOf(result, 'trustDomain'))})\n` : '',
    );
    for (const step of listOf(result, 'steps'))
      io.stderr.write(
        `${cell(memberOf(step, 'name'))}: ${cell(memberOf(step, 'result'))}, ${cell(memberOf(step, 'message'))}\n`,
      );
    io.stderr.write(
      `their root: ${cell(memberOf(result, 'fingerprint'))}\nour root:   ${cell(memberOf(result, 'ourFingerprint'))}\n`,
    );
    if (memberOf(result, 'awaitingApproval') === true)
      io.stderr.write('the other side has to approve this mesh first: peers approve\n');
    return joined ? EXIT.ok : EXIT.problems;
  },
};

async function tokenOf(operand: string, io: CliIo): Promise<string> {
  if (operand !== '-') {
    io.stderr.write('warning: a token given as argument is visible in ps; "join -" reads it from standard input\n');
    return operand;
  }
  return readToken(io, TOKEN_CHARS_MAX, 'the invite before the pipe may have failed');
}

/** Accepts what openssl prints: upper case, with colons. */
function fingerprintOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const hex = text.replaceAll(':', '').toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(hex))
    throw usage('expected --expect-fingerprint to be a SHA-256 of 64 hexadecimal digits');
  return hex;
}
