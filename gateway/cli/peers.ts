/** `jumpgate peers`: list, remove, approve. */
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { type Column, formatOf, print, table, textOf } from './output.ts';
import { LIVE_OPTIONS, usage, type Verb, type VerbContext } from './verb.ts';

const COLUMNS: readonly Column[] = [
  { heading: 'NAME', member: 'name' },
  { heading: 'TRUST-DOMAIN', member: 'trustDomain' },
  { heading: 'STATE', member: 'state' },
  { heading: 'OUT', member: 'linksOutbound' },
  { heading: 'IN', member: 'linksInbound' },
  { heading: 'BUNDLE', member: 'bundleSequence' },
  { heading: 'HEARTBEAT', member: 'heartbeatAgeSeconds' },
  { heading: 'ORIGIN', member: 'origin', wide: true },
  { heading: 'GATEWAY-ID', member: 'gatewayId', wide: true },
  { heading: 'GATEWAYS', member: 'gateways', wide: true },
  { heading: 'MESSAGE', member: 'message' },
];

/** Shows and changes peers. */
export const peersVerb: Verb = {
  name: 'peers',
  summary: 'show peers; remove or approve one',
  operands: '[list | remove NAME | approve NAME]',
  operandsMin: 0,
  operandsMax: 2,
  options: LIVE_OPTIONS,
  run: async (context) => {
    formatOf(context);
    const [action = 'list', name] = context.given.operands;
    switch (action) {
      case 'list':
        if (name !== undefined) throw usage(`unexpected argument ${JSON.stringify(name)}`);
        return list(context);
      case 'remove':
        return remove(context, nameOf(name));
      case 'approve':
        return approve(context, nameOf(name));
      default:
        throw usage(`expected list, remove or approve, found ${JSON.stringify(action)}`);
    }
  },
};

async function list(context: VerbContext): Promise<number> {
  const peers = await (await openClient(context)).ask('GET', '/v1/peers');
  print(context, peers, (wide) => table(peers, COLUMNS, wide));
  return EXIT.ok;
}

async function remove(context: VerbContext, name: string): Promise<number> {
  const removed = await (await openClient(context)).ask('DELETE', `/v1/peers/${name}`);
  print(context, removed, () => `removed ${name} (${textOf(removed, 'trustDomain')})\n`);
  return EXIT.ok;
}

async function approve(context: VerbContext, name: string): Promise<number> {
  const approved = await (await openClient(context)).ask('POST', `/v1/peers/${name}/approve`, {});
  print(context, approved, () => `approved ${name} (${textOf(approved, 'trustDomain')})\n`);
  return EXIT.ok;
}

/** A name goes into a path, so nothing else may. */
function nameOf(name: string | undefined): string {
  if (name === undefined) throw usage('expected the NAME of a peer');
  if (!/^[a-z0-9-]{1,63}$/.test(name)) throw usage(`expected the name of a peer, found ${JSON.stringify(name)}`);
  return name;
}
