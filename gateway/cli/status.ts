/** `jumpgate status`: the gateway as a tree. */
import { asRecord } from '../../base/brand.ts';
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { cell, formatOf, listOf, memberOf, print } from './output.ts';
import { LIVE_OPTIONS, type Verb } from './verb.ts';

/** Shows everything at once. */
export const statusVerb: Verb = {
  name: 'status',
  summary: 'show mesh, listeners, peers, exports, imports and conditions',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: LIVE_OPTIONS,
  run: async (context) => {
    formatOf(context);
    const status = await (await openClient(context)).ask('GET', '/v1/status');
    print(context, status, () => statusTree(status));
    return EXIT.ok;
  },
};

interface Branch {
  readonly label: string;
  readonly leaves: readonly string[];
}

function statusTree(status: unknown): string {
  const show = (path: string): string => cell(memberOf(status, path));
  const pending = listOf(status, 'pending');
  const above = show('identity.upstream.from');
  const upstream = above === '-' ? '' : ` below ${above} until ${show('identity.upstream.expiresAt')}`;
  const head = [
    `mesh ${show('mesh')} (${show('trustDomain')}) ${show('state')}${pending.length === 0 ? '' : `, pending: ${cell(pending)}`}`,
    `gateway ${show('gatewayId')} instance ${show('instance')} version ${show('version')} since ${show('startedAt')}`,
    `identity from ${show('identity.source')} ${show('identity.from')}${upstream}, svid until ${show('identity.expiresAt')}${show('identity.message') === '-' ? '' : `: ${show('identity.message')}`}`,
    `config ${show('config.directory')} digest ${show('config.digest').slice(0, 12)} last reload ${show('config.lastReload.result')} at ${show('config.lastReload.at')}`,
  ];
  return `${[...head, ...tree(branches(status))].join('\n')}\n`;
}

function branches(status: unknown): readonly Branch[] {
  const rows = (path: string, leaf: (of: (member: string) => string, row: unknown) => string): readonly string[] =>
    listOf(status, path).map((item) => leaf((member) => cell(asRecord(item)?.[member]), item));
  return [
    {
      label: 'listeners',
      leaves: rows(
        'listeners',
        (of) => `${of('kind')} ${of('name')} ${of('address')}${of('caller') === '-' ? '' : ` as ${of('caller')}`}`,
      ),
    },
    {
      label: 'processes',
      leaves: rows(
        'processes',
        (of) =>
          `${of('id') === 'control' ? 'control' : `worker ${of('id')}`} pid ${of('pid')} ${of('state')}, ${of('connections')} connections, ${of('restarts')} restarts${of('lastEnd') === '-' ? '' : `, last ended with ${of('lastEnd')}`}`,
      ),
    },
    {
      label: 'peers',
      leaves: rows(
        'peers',
        (of) =>
          `${of('name')} (${of('trustDomain')}) ${of('state')}, links ${of('linksOutbound')} out ${of('linksInbound')} in, bundle ${of('bundleSequence')}, heartbeat ${of('heartbeatAgeSeconds')} s${of('message') === '-' ? '' : `: ${of('message')}`}`,
      ),
    },
    {
      label: 'bundles',
      leaves: rows('bundles', (of, row) =>
        of('profile') === '-'
          ? `${of('peer')} sequence ${of('sequence')}${jwtKeysIn(row)}`
          : `${of('peer')} sequence ${of('sequence')} by ${of('profile')}, fetched ${of('fetchedAt')}, next ${of('nextFetchAt')}, ${of('stale') === 'true' ? 'stale since' : 'stale at'} ${of('staleAt')}${of('message') === '-' ? '' : `: ${of('message')}`}`,
      ),
    },
    {
      label: 'exports',
      leaves: rows('exports', (of) => `${of('name')} ${of('protocol')} to ${of('peers')} -> ${of('backends')}`),
    },
    {
      label: 'imports',
      leaves: rows('imports', (of) => `${of('name')} ${of('state')} ${of('export')} of ${of('peer')}: ${of('hosts')}`),
    },
    {
      label: 'conditions',
      leaves: rows('conditions', (of) => `${of('severity')} ${of('type')} ${of('subject')}: ${of('message')}`),
    },
    { label: 'config problems', leaves: listOf(status, 'config.lastReload.problems').map(cell) },
    { label: 'needs a restart', leaves: listOf(status, 'config.lastReload.needsRestart').map(cell) },
  ].filter(({ leaves }) => leaves.length > 0);
}

/** Of our own: which key signs tokens, and which are published beside it. */
function jwtKeysIn(bundle: unknown): string {
  return listOf(bundle, 'jwtKeys')
    .map((key) => {
      const of = (member: string): string => cell(memberOf(key, member));
      return `, jwt key ${of('keyId').slice(0, 12)} ${of('state')}, published ${of('publishedAt')}`;
    })
    .join('');
}

function tree(all: readonly Branch[]): readonly string[] {
  return all.flatMap(({ label, leaves }, index) => {
    const last = index === all.length - 1;
    return [
      `${last ? '└' : '├'}─ ${label}`,
      ...leaves.map((leaf, at) => `${last ? ' ' : '│'}  ${at === leaves.length - 1 ? '└' : '├'}─ ${leaf}`),
    ];
  });
}
