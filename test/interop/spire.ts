/**
 * Federation with a real SPIRE: `sh bin/node test/interop/spire.ts SPIRE-SERVER SPIRE-AGENT`, the paths of both programs.
 * Ten minutes, on loopback and as any user; it is no part of `npm test`. SPIRE builds with Go alone (`go build ./cmd/spire-server
 * ./cmd/spire-agent`).
 *
 * Checks: bundles exchanged with SPIRE servers in both profiles; links between a gateway whose identity comes from a
 * SPIRE agent, with SVIDs of two minutes, and one with an embedded CA; JWT-SVIDs of each judged by the other; and that
 * no call fails while X.509 authorities rotate on both sides and SVIDs are renewed.
 */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { asRecord } from '../../base/brand.ts';
import { systemClock } from '../../base/clock.ts';
import { exported, GatewayProcess, imported, mesh, MeshDirectory } from '../support/gateway-process.ts';
import { http1Service } from '../support/sample-services.ts';
import { SPIRE_SVID_TTL_S, type SpireAgent, type SpirePrograms, SpireServer } from '../support/spire.ts';
import { SteadyCalls } from '../support/steady-calls.ts';
import { addressName, webAuthority, webCertificate } from '../support/web-certificates.ts';

const API = 'apiVersion: jumpgate.dev/v1alpha1';
const EAST = 'east.example';
const WEST = 'west.example';
const ENDPOINT_ID = `spiffe://${WEST}/spire/server`;
/** SPIRE polls every 15 s at a hint of up to a minute; a rotation of ours waits for five of these hints. */
const HINT = 'refreshHint: 10s';
/** An authority has reached everybody, or everybody has a new SVID, well within it. */
const STEP_MS_MAX = 150_000;
const ROTATIONS = 3;

/** Timers of the clock alone do not keep a process. */
const kept = setInterval(() => undefined, STEP_MS_MAX);

const started = systemClock.monotonic();
const say = (line: string): void =>
  void process.stdout.write(`${((systemClock.monotonic() - started) / 1000).toFixed(0).padStart(4)} s  ${line}\n`);

function check(what: string, holds: boolean, found: unknown): void {
  if (!holds) throw new Error(`${what}: found ${JSON.stringify(found)}`);
  say(`ok   ${what}`);
}

/** Waits for what takes a poll or half a life of an SVID. */
async function comes(what: string, look: () => Promise<boolean>, seen = async () => ''): Promise<void> {
  const deadline = systemClock.monotonic() + STEP_MS_MAX;
  while (!(await look().catch(() => false))) {
    if (systemClock.monotonic() > deadline) throw new Error(`still waiting for: ${what}; ${await seen()}`);
    await sleep(500);
  }
  say(`ok   ${what}`);
}

const [server, agent] = process.argv.slice(2);
if (server === undefined || agent === undefined) throw new Error('expected the paths of spire-server and spire-agent');
const programs: SpirePrograms = { server, agent };

/** The certificates of the X.509 authorities in a bundle document, sorted. */
function rootsOf(document: string): readonly string[] {
  const keys = asRecord(JSON.parse(document))?.['keys'];
  if (!Array.isArray(keys)) throw new Error(`expected a bundle, found ${document}`);
  const entries = keys.map((key: unknown) => asRecord(key) ?? {});
  return entries.flatMap(({ use, x5c }) => (use === 'x509-svid' && Array.isArray(x5c) ? [String(x5c[0])] : [])).sort();
}

const isSame = (one: string, other: string): boolean => rootsOf(one).join() === rootsOf(other).join();

function peer(name: string, domain: string, bundle: string, gateway?: string): string {
  const gateways = gateway === undefined ? '' : `, gateways: ["${gateway}"]`;
  return `${API}\nkind: Peer\nmetadata: { name: ${name} }\nspec: { trustDomain: ${domain}${gateways}, ${bundle} }\n`;
}

/** Profile https_web both ways, between a gateway and a server that have nothing but each other's bundle. */
async function federationOverTheWeb(): Promise<void> {
  await using held = new AsyncDisposableStack();
  const authority = webAuthority();
  const shown = webCertificate(authority, [], addressName('127.0.0.1'));
  const files = held.use(new MeshDirectory({ 'ca.pem': authority.pem, 'web.pem': shown.cert, 'web.key': shown.key }));
  const [cert, key] = [`${files.path}/web.pem`, `${files.path}/web.key`];
  const profile = `profile "https_web" { serving_cert_file { cert_file_path = "${cert}", key_file_path = "${key}", file_sync_interval = "1h" } }`;
  const webCaFile = `${files.path}/ca.pem`;
  const spire = held.use(await SpireServer.start({ programs, trustDomain: WEST, profile, webCaFile }));
  const bundle = `profile: https_web, certificateFile: web.pem, keyFile: web.key, advertise: "https://127.0.0.1:8443/"`;
  files.write('mesh.yaml', mesh('east').replace('profile: https_spiffe', bundle));
  const endpoint = `bundleEndpoint: { url: "${spire.bundleUrl}", profile: https_web, caFile: ca.pem }`;
  files.write('peer.yaml', peer('west', WEST, endpoint));
  const east = held.use(new GatewayProcess(files.path));
  await east.ready();
  const isHeld = async (): Promise<boolean> =>
    isSame(await east.command('bundles', ['show', 'west']), await spire.bundle());
  await comes('https_web: the gateway holds the bundle of SPIRE, a peer without gateways', isHeld);
  await spire.federate({ trustDomain: EAST, url: `https://${await east.address('bundle')}/` });
  const own = await east.command('bundles', ['show', 'self']);
  await comes('https_web: SPIRE holds the bundle of the gateway', async () => isSame(await spire.bundle(EAST), own));
}

interface Pair {
  readonly spire: SpireServer;
  readonly agent: SpireAgent;
  readonly east: GatewayProcess;
  readonly west: GatewayProcess;
  readonly eastFiles: MeshDirectory;
}

const everybody = (name: string): string => `{ peers: [${name}], who: ["spiffe://${name}.example/**"] }`;

/** East with an embedded CA, west with a SPIRE agent; the bundles of both from their endpoints of profile https_spiffe. */
async function pair(held: AsyncDisposableStack, port: number): Promise<Pair> {
  const profile = 'profile "https_spiffe" {}';
  const spire = held.use(await SpireServer.start({ programs, trustDomain: WEST, profile }));
  const spireAgent = held.use(await spire.startAgent());
  const short = (document: string): string => document.replace('profile:', `${HINT}, profile:`);
  const eastFiles = held.use(new MeshDirectory({ 'svc.yaml': exported('svc', 'http1', port, everybody('west')) }));
  const api = `    workloadApi: [{ socket: "${eastFiles.path}/api/web.sock", identity: "spiffe://${EAST}/web", federatesWith: all }]\n`;
  const embedded = short(mesh('east', { more: '  workers: 1\n' })).replace('    admin:', `${api}    admin:`);
  eastFiles.write('mesh.yaml', embedded.replace('embedded: {}', `embedded: { svidTtl: ${SPIRE_SVID_TTL_S}s }`));
  eastFiles.write('import.yaml', imported('svc-west', 'west', 'svc', `spiffe://${EAST}/**`));
  const west = `workloadApi: { socket: "unix://${spireAgent.socket}" }`;
  const westFiles = held.use(
    new MeshDirectory({
      'mesh.yaml': short(mesh('west', { more: '  workers: 1\n' })).replace('embedded: {}', west),
      'svc.yaml': exported('svc', 'http1', port, everybody('east')),
      'import.yaml': imported('svc-east', 'east', 'svc', `spiffe://${WEST}/**`),
    }),
  );
  const [eastGateway, westGateway] = [eastFiles, westFiles].map((files) => held.use(new GatewayProcess(files.path)));
  if (eastGateway === undefined || westGateway === undefined) throw new Error('unreachable');
  await eastGateway.ready();
  const own = await eastGateway.command('bundles', ['show', 'self']);
  const url = `https://${await eastGateway.address('bundle')}/`;
  const eastId = `spiffe://${EAST}/jumpgate`;
  await spire.federate({ trustDomain: EAST, url, spiffeId: eastId, bundle: own });
  await spire.register('/jumpgate', []);
  await spire.register('/web', [EAST]);
  await westGateway.ready();
  say('ok   a gateway has its identity from the SPIRE agent');

  eastFiles.write('west.json', await spire.bundle());
  westFiles.write('east.json', own);
  const ofSpire = `url: "${spire.bundleUrl}", profile: https_spiffe, spiffeId: "${ENDPOINT_ID}"`;
  const toWest = `bundle: { file: west.json }, bundleEndpoint: { ${ofSpire} }`;
  eastFiles.write('peer.yaml', peer('west', WEST, toWest, await westGateway.address('jump')));
  const toEast = `bundle: { file: east.json }, bundleEndpoint: { url: "${url}", profile: https_spiffe, spiffeId: "${eastId}" }`;
  westFiles.write('peer.yaml', peer('east', EAST, toEast, await eastGateway.address('jump')));
  await Promise.all([eastGateway.importIs('svc-west', 'active'), westGateway.importIs('svc-east', 'active')]);
  say('ok   both gateways have links to each other');
  return { spire, agent: spireAgent, east: eastGateway, west: westGateway, eastFiles };
}

async function federation({ spire, east, west }: Pair): Promise<void> {
  const bundles = async (): Promise<string> => JSON.stringify(await east.ask('/v1/bundles'));
  const fetched = async (): Promise<boolean> => /"fetchedAt":"/.test(await bundles());
  await comes('https_spiffe: the gateway fetched the bundle from SPIRE', fetched, bundles);
  check('https_spiffe: it is that of SPIRE', await isHeldBy(east, spire), await east.command('bundles'));
  await spire.refresh(EAST);
  const own = await east.command('bundles', ['show', 'self']);
  const isFetched = async (): Promise<boolean> => /Bundle refreshed/.test(spire.log);
  await comes('https_spiffe: SPIRE fetched the bundle of the gateway', isFetched);
  check('https_spiffe: it is that of the gateway', isSame(await spire.bundle(EAST), own), own);
  const atWest = await west.command('bundles', ['show', 'self']);
  check('the gateway of the SPIRE mesh serves the same roots', isSame(atWest, await spire.bundle()), atWest);
}

const isHeldBy = async (gateway: GatewayProcess, spire: SpireServer): Promise<boolean> =>
  isSame(await gateway.command('bundles', ['show', 'west']), await spire.bundle());

async function tokens({ agent: spireAgent, eastFiles }: Pair): Promise<void> {
  const ours = `${eastFiles.path}/api/web.sock`;
  for (const [who, issuer, validator] of [
    ['SPIRE accepts a JWT-SVID of the gateway', ours, spireAgent.socket],
    ['the gateway accepts a JWT-SVID of SPIRE', spireAgent.socket, ours],
  ] as const) {
    const said = await spireAgent.api(['fetch', 'jwt'], ['-audience', 'shop', '-output', 'json'], issuer);
    const token = /"svid":\s*"(?<token>[^"]+)"/.exec(said)?.groups?.['token'] ?? '';
    const judge = async (audience: string): Promise<boolean> => {
      const words = ['-audience', audience, '-svid', token];
      return spireAgent.api(['validate', 'jwt'], words, validator).then(Boolean, () => false);
    };
    await comes(who, async () => judge('shop'));
    check(`${who}, but not for another audience`, !(await judge('till')), token);
  }
  const x509 = await spireAgent.api(['fetch', 'x509'], [], ours);
  const isWhole = x509.includes(`spiffe://${EAST}/web`) && x509.includes(`[spiffe://${WEST}] CA #1`);
  check('the client of SPIRE reads SVID and bundles from our Workload API', isWhole, x509);
}

/** One call that says a word every second and hears it again, until it is disposed; `end` tells what went missing. */
function longCall(listener: string, host: string): { end(): Promise<string> } {
  let [sent, heard, failure] = [0, 0, ''];
  const [address, port] = listener.split(':');
  const asked = request({ host: address, port, method: 'POST', headers: { host }, agent: false });
  const ended = new Promise<void>((resolve) => {
    const done = (why: string): void => {
      failure = why;
      resolve();
    };
    asked.once('error', (error) => done(error.message));
    asked.once('response', (response) => {
      response.on('data', (chunk: Buffer) => (heard += chunk.length));
      response.once('close', () => done(response.complete ? '' : 'cut'));
    });
  });
  const timer = setInterval(() => {
    sent += 4;
    asked.write('tick');
  }, 1000);
  return {
    end: async () => {
      clearInterval(timer);
      asked.end();
      await ended;
      return failure === '' && sent === heard ? '' : `${failure}: ${sent} bytes sent, ${heard} came back`;
    },
  };
}

/** One rotation of SPIRE, as its documentation has it; then one of ours. */
async function rotation({ spire, east }: Pair, round: number): Promise<void> {
  const old = await spire.activeAuthority();
  const next = await spire.authority('prepare');
  await comes(`${round}: the authority that SPIRE prepared is believed`, async () => isHeldBy(east, spire));
  await spire.authority('activate', next);
  await spire.authority('taint', old);
  // A tainted authority has the agents ask for new SVIDs; revoked before that, it would refuse the old ones.
  await sleep(SPIRE_SVID_TTL_S * 500);
  await spire.authority('revoke', old);
  await comes(`${round}: the one that it revoked is not`, async () => isHeldBy(east, spire));
  await east.command('rotate');
  const isActive = async (): Promise<boolean> => asRecord(await east.ask('/v1/rotation'))?.['nextFingerprint'] === null;
  await comes(`${round}: the gateway has a new root that signs`, isActive);
  const own = await east.command('bundles', ['show', 'self']);
  await comes(
    `${round}: SPIRE follows a rotation of the gateway`,
    async () => isSame(await spire.bundle(EAST), own),
    async () => spire.log.slice(-3000),
  );
}

await federationOverTheWeb();
await using held = new AsyncDisposableStack();
const service = held.use(
  await http1Service((incoming, response) => {
    response.flushHeaders();
    if (incoming.method === 'POST') incoming.pipe(response);
    else response.end('ok');
  }),
);
const both = await pair(held, service.port);
await federation(both);
await tokens(both);
const directions = [
  ['to the gateway with an embedded CA', await both.west.address('outbound[0]'), 'svc.east.mesh.internal'],
  ['to the one with a SPIRE agent', await both.east.address('outbound[0]'), 'svc.west.mesh.internal'],
] as const;
const traffic = directions.map(([direction, listener, host]) => ({
  direction,
  calls: held.use(new SteadyCalls({ listener, host, atOnce: 1, thinkMs: 2000 })),
  stream: longCall(listener, host),
}));
for (let round = 1; round <= ROTATIONS; round += 1) await rotation(both, round);
const results = await Promise.all(
  traffic.map(async ({ direction, calls, stream }) => ({
    direction,
    ends: await calls.stop(),
    lost: await stream.end(),
  })),
);
const isWhole = ({ ends, lost }: (typeof results)[number]): boolean =>
  lost === '' && Object.keys(ends).length === 1 && (ends['200'] ?? 0) > 0;
for (const result of results)
  say(`${isWhole(result) ? 'ok  ' : 'FAIL'} every call, and a long one: ${JSON.stringify(result)}`);
clearInterval(kept);
if (!results.every(isWhole)) {
  for (const gateway of [both.east, both.west]) process.stderr.write(gateway.stderr);
  process.exitCode = 1;
}
