/** `jumpgate quarantine`: what is distrusted here for the time being. */
import { DISTRUST_KINDS } from '../../trust-bundles/distrust/target.ts';
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { cell, type Column, formatOf, memberOf, print, table } from './output.ts';
import { secondsOf } from './seconds.ts';
import { LIVE_OPTIONS, usage, type Verb, type VerbContext } from './verb.ts';

const COLUMNS: readonly Column[] = [
  { heading: 'KIND', member: 'kind' },
  { heading: 'NAME', member: 'name' },
  { heading: 'SINCE', member: 'since' },
  { heading: 'UNTIL', member: 'until' },
  { heading: 'REASON', member: 'reason' },
  { heading: 'BY', member: 'by', wide: true },
];

/** An ID needs no word before it. */
const NAMED_KINDS: readonly string[] = DISTRUST_KINDS.filter((kind) => kind !== 'spiffe');

/** Shows and changes the quarantine. */
export const quarantineVerb: Verb = {
  name: 'quarantine',
  summary: 'distrust an identity, a key, a peer, a trust domain or an export at once',
  operands: '[list | add TARGET | remove TARGET]',
  operandsMin: 0,
  operandsMax: 3,
  options: {
    ...LIVE_OPTIONS,
    for: { argument: 'DURATION', help: 'with add: how long, such as 2h; default until it is removed' },
    reason: { argument: 'TEXT', help: 'with add: one line of at most 256 characters, shown by list' },
  },
  details: [
    'TARGET is one of',
    '  spiffe://TD/PATH    callers with this ID, of our own mesh and of peers; * is one path segment, a final ** any more.',
    '                      They lose their calls and connections; the link that carries them stays.',
    '  key FINGERPRINT     every chain with this key: the SHA-256 of its SubjectPublicKeyInfo, or the fingerprint of a root',
    '                      as "jumpgate bundles" shows it. A root of our own embedded CA is replaced at once.',
    '  peer NAME           a peer: its links are closed, and it stays registered',
    '  domain TD           everything of a trust domain',
    '  export NAME         an export of ours, whoever calls it',
    'It takes effect on all workers before the verb returns, and survives restarts. Reserved IDs (/jumpgate and below) are',
    'meant when they are written out, and with their domain.',
  ],
  run: async (context) => {
    formatOf(context);
    const [action = 'list', ...target] = context.given.operands;
    switch (action) {
      case 'list':
        if (target.length > 0) throw usage(`unexpected argument ${JSON.stringify(target[0])}`);
        return list(context);
      case 'add':
        return add(context, targetOf(target));
      case 'remove':
        return remove(context, targetOf(target));
      default:
        throw usage(`expected list, add or remove, found ${JSON.stringify(action)}`);
    }
  },
};

async function list(context: VerbContext): Promise<number> {
  refuseOptions(context);
  const entries = await (await openClient(context)).ask('GET', '/v1/quarantine');
  print(context, entries, (wide) => table(entries, COLUMNS, wide));
  return EXIT.ok;
}

async function add(context: VerbContext, target: Target): Promise<number> {
  const { given, io } = context;
  const reason = given.text('reason');
  const forSeconds = secondsOf(given, 'for');
  const request = {
    ...target,
    ...(forSeconds === undefined ? {} : { forSeconds }),
    ...(reason === undefined ? {} : { reason }),
  };
  const added = await (await openClient(context)).ask('POST', '/v1/quarantine', request);
  const show = (member: string): string => cell(memberOf(added, member));
  print(context, added, () => {
    const until = show('until');
    return `quarantined ${show('kind')} ${show('name')}${until === '-' ? '' : ` until ${until}`}\n`;
  });
  if (memberOf(added, 'message') !== null) io.stderr.write(`${show('message')}\n`);
  if (memberOf(added, 'stored') !== true)
    io.stderr.write(
      'the store does not answer: it is in force at this gateway, and other replicas learn of it later\n',
    );
  return EXIT.ok;
}

async function remove(context: VerbContext, target: Target): Promise<number> {
  refuseOptions(context);
  const removed = await (await openClient(context)).ask('POST', '/v1/quarantine/remove', { ...target });
  const show = (member: string): string => cell(memberOf(removed, member));
  print(context, removed, () => `trusted again: ${show('kind')} ${show('name')}\n`);
  return EXIT.ok;
}

interface Target {
  readonly kind: string;
  readonly name: string;
}

/** A SPIFFE ID says itself what it is. */
function targetOf([first, second]: readonly string[]): Target {
  if (first?.startsWith('spiffe://') === true) {
    if (second !== undefined) throw usage(`unexpected argument ${JSON.stringify(second)}`);
    return { kind: 'spiffe', name: first };
  }
  if (first !== undefined && second !== undefined && NAMED_KINDS.includes(first)) return { kind: first, name: second };
  throw usage(
    `expected spiffe://TD/PATH, key FINGERPRINT, peer NAME, domain TD or export NAME, found ${first === undefined ? 'nothing' : JSON.stringify([first, second].join(' ').trim())}`,
  );
}

function refuseOptions({ given }: VerbContext): void {
  for (const name of ['for', 'reason']) if (given.text(name) !== undefined) throw usage(`--${name} goes with add`);
}
