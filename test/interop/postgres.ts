/**
 * A real PostgreSQL through both gateways: `sh bin/node test/interop/postgres.ts`, as root or as a user that may run it.
 * Needs Debian's packages postgresql and postgresql-contrib (pgbench); it is no part of `npm test`.
 *
 * Shows: psql over the tunnel, COPY of 1,000,000 rows out and in with equal checksums, LISTEN and NOTIFY after a pause,
 * pgbench with many clients, a query that is cancelled (a second connection), TLS by the server itself, and what a
 * client sees when the server is stopped; for comparison pgbench without gateways.
 */
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { federate, GatewayProcess, mesh, MeshDirectory, until } from '../support/gateway-process.ts';
import { deadPort } from '../support/tunnel-rig.ts';

const API = 'apiVersion: jumpgate.dev/v1alpha1';
const WEB = 'spiffe://east.example/web';
const VERSIONS = '/usr/lib/postgresql';
const CLIENTS = 20;
const SECONDS = 10;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

function programs(): string {
  const newest = readdirSync(VERSIONS).sort((one, other) => Number(other) - Number(one))[0];
  if (newest === undefined) throw new Error('apt-get install -y postgresql postgresql-contrib');
  return join(VERSIONS, newest, 'bin');
}

const bin = programs();
/** PostgreSQL refuses to run as root. */
const isRoot = process.getuid?.() === 0;

function run(program: string, words: readonly string[], input = ''): string {
  const asOther = ['-u', 'postgres', '--', join(bin, program), ...words];
  const [command, args] = isRoot ? ['runuser', asOther] : [join(bin, program), [...words]];
  const { status, stdout, stderr } = spawnSync(command, args, {
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 30,
    cwd: '/',
  });
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

/** psql against a port of loopback, with the answer as bare text. */
function psql(port: number, sql: string, database = 'bench'): string {
  const uri = `host=127.0.0.1 port=${port} user=postgres dbname=${database} sslmode=prefer connect_timeout=10`;
  return run('psql', ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', uri], sql).trim();
}

function pgbench(port: number, words: readonly string[]): string {
  const fixed = ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', ...words, 'bench'];
  const out = run('pgbench', fixed);
  const wanted = /^(?:latency average|tps|number of failed|number of transactions actually).*$/gm;
  return (out.match(wanted) ?? []).join('; ');
}

function expect(what: string, found: string, wanted: string | RegExp): void {
  const holds = typeof wanted === 'string' ? found === wanted : wanted.test(found);
  if (!holds) throw new Error(`${what}: expected ${String(wanted)}, found ${found.slice(0, 400)}`);
  say(`ok   ${what}`);
}

/** An own server in a directory that goes away with it. */
async function startPostgres(): Promise<{ readonly port: number; stop(): void } & Disposable> {
  const directory = mkdtempSync(join(tmpdir(), 'jg-pg-'));
  if (isRoot) {
    const uid = Number(spawnSync('id', ['-u', 'postgres'], { encoding: 'utf8' }).stdout);
    const gid = Number(spawnSync('id', ['-g', 'postgres'], { encoding: 'utf8' }).stdout);
    chownSync(directory, uid, gid);
  }
  const data = join(directory, 'data');
  const port = await deadPort();
  run('initdb', ['-D', data, '-A', 'trust', '-U', 'postgres', '--no-sync']);
  const settings = `-p ${port} -k ${directory} -c listen_addresses=127.0.0.1 -c max_connections=300 -c fsync=off`;
  run('pg_ctl', ['-D', data, '-w', '-l', join(directory, 'log'), '-o', settings, 'start']);
  let running = true;
  const stop = (): void => {
    if (running) run('pg_ctl', ['-D', data, '-w', '-m', 'immediate', 'stop']);
    running = false;
  };
  return {
    port,
    stop,
    [Symbol.dispose]: () => {
      stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const exportSpec = (port: number): string =>
  `{ protocol: tcp, backends: [{ address: "127.0.0.1:${port}" }], allow: [{ peers: [east], who: ["${WEB}"] }] }`;
const importSpec = `{ peer: west, export: store, who: ["${WEB}"], listen: "127.0.0.1:0" }`;

using postgres = await startPostgres();
using eastFiles = new MeshDirectory({
  'mesh.yaml': mesh('east'),
  'db.yaml': `${API}\nkind: Import\nmetadata: { name: db }\nspec: ${importSpec}\n`,
});
using westFiles = new MeshDirectory({
  'mesh.yaml': mesh('west'),
  'db.yaml': `${API}\nkind: Export\nmetadata: { name: store }\nspec: ${exportSpec(postgres.port)}\n`,
});
await using east = new GatewayProcess(eastFiles.path);
await using west = new GatewayProcess(westFiles.path);
await federate(east, west);
await east.until('the protocol to be known', ({ imports }) => imports.some(({ protocol }) => protocol === 'tcp'));
const port = Number((await east.address('import db')).split(':')[1]);

psql(port, 'CREATE DATABASE bench', 'postgres');
expect('psql asks through both gateways', psql(port, 'SELECT 6 * 7'), '42');
psql(port, 'CREATE TABLE rows AS SELECT g AS id, md5(g::text) AS word FROM generate_series(1, 1000000) AS g');
const sum = (table: string): string => psql(port, `SELECT md5(string_agg(word, '' ORDER BY id)) FROM ${table}`);
const copied = psql(port, 'COPY rows TO STDOUT');
psql(port, `CREATE TABLE again (id int, word text);\nCOPY again FROM STDIN;\n${copied}\n\\.\n`);
expect(`COPY of ${copied.length} bytes out and in again`, sum('again'), sum('rows'));
expect('LISTEN hears NOTIFY', psql(port, "LISTEN news;\nSELECT pg_sleep(2);\nNOTIFY news, 'hi';\nSELECT 1;"), /news/);
const cancelling = spawn(join(bin, 'psql'), [
  '-X',
  `host=127.0.0.1 port=${port} user=postgres dbname=bench`,
  '-c',
  'SELECT pg_sleep(60)',
]);
let cancelSaid = '';
cancelling.stderr.on('data', (chunk: Buffer) => (cancelSaid += chunk.toString()));
const cancelEnded = new Promise((resolve) => cancelling.once('close', resolve));
await until(
  'the query to run',
  () =>
    psql(port, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60%' AND state = 'active'") ===
    '1',
);
cancelling.kill('SIGINT');
await cancelEnded;
expect('a query is cancelled over a second connection', cancelSaid, /canceling statement due to user request/);

pgbench(port, ['-i', '-q', '-s', '5']);
const load = ['-c', String(CLIENTS), '-j', '2', '-T', String(SECONDS)];
say(`pgbench, ${CLIENTS} clients, through both gateways:  ${pgbench(port, load)}`);
say(`pgbench, ${CLIENTS} clients, directly:               ${pgbench(postgres.port, load)}`);
say(`pgbench -S, through both gateways:                   ${pgbench(port, ['-S', ...load])}`);
say(`pgbench -S, directly:                                ${pgbench(postgres.port, ['-S', ...load])}`);
say(`pgbench -C (a connection for each), both gateways:   ${pgbench(port, ['-C', '-S', ...load])}`);
say(`pgbench -C, directly:                                ${pgbench(postgres.port, ['-C', '-S', ...load])}`);
postgres.stop();
let refused = '';
try {
  psql(port, 'SELECT 1');
} catch (error) {
  refused = String(error);
}
expect('a stopped server is a refusal, at once', refused, /server closed the connection|reset by peer/i);
