/** Access log and metrics. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import test from 'node:test';

import { silentLog } from '../../base/log.ts';
import { AccessLineFormat } from '../../gateway/telemetry/access-line.ts';
import { openAccessLogLines } from '../../gateway/telemetry/access-log-lines.ts';
import { CallCounters } from '../../gateway/telemetry/call-counters.ts';
import { OUTCOMES, outcomeIndex } from '../../gateway/telemetry/call-counts.ts';
import { CallSinks } from '../../gateway/telemetry/call-sinks.ts';
import { type EndedCall } from '../../gateway/telemetry/call-subject.ts';
import { createMetrics } from '../../gateway/telemetry/metrics.ts';
import { type GatewaySample, type PeerSample } from '../../gateway/telemetry/sample.ts';
import { endedCall as call, subjectOf } from '../support/ended-calls.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const clock = new ManualClock();

const formatCall = (ended: EndedCall): string => new AccessLineFormat().format(ended);

const lines = (text: string): readonly Readonly<Record<string, unknown>>[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);

test('a line names both identities, verdict, rule, times and bytes', () => {
  assert.deepEqual(lines(formatCall(call())), [
    {
      time: '2026-01-02T03:04:05.000Z',
      direction: 'inbound',
      listener: 'jump',
      durationMs: 12.346,
      caller: 'spiffe://eu-west.example.org/shop',
      gateway: 'spiffe://eu-west.example.org/jumpgate',
      peer: 'eu-west',
      export: 'payments',
      host: 'payments.example',
      method: 'GET',
      path: '/',
      protocol: 'http2',
      status: 200,
      verdict: 'permit',
      rule: 'payments.allow[0]',
      origin: 'exports.yaml:3:5',
      bytesIn: 5,
      bytesOut: 7,
    },
  ]);
});

test('control characters of a caller are escaped, so that a call is one line and steers no terminal', () => {
  const evil = 'a\n{"forged":1}\r\u001b[31m\u007f\u0085\u009b\u2028\u202e\ufeff\ud800b';
  const line = formatCall(call({ target: evil, host: evil }));
  assert.equal(line.indexOf('\n'), line.length - 1);
  assert.match(line, /^[\x20-\x7e]*\n$/);
  assert.equal(lines(line)[0]?.['path'], evil);
});

test('a field of a caller is cut at 8 KiB', () => {
  assert.ok(formatCall(call({ target: 'a'.repeat(100_000) })).length < 10_000);
});

test('lines reach the file in order, and all of them before it is closed', async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, 'access.log');
  const log = await openAccessLogLines({ target: { kind: 'file', path }, log: silentLog, clock });
  for (let index = 0; index < 5000; index += 1) log.record(call({ status: index }));
  await log[Symbol.asyncDispose]();
  log.record(call());
  assert.deepEqual(
    lines(readFileSync(path, 'utf8')).map(({ status }) => status),
    Array.from({ length: 5000 }, (_, index) => index),
  );
  assert.equal(log.dropped, 1);
  assert.equal(statSync(path).mode & 0o007, 0);
});

test('a stalled output drops lines beyond the queue and counts them; the rest is written when it moves again', async () => {
  const written: string[] = [];
  let first: (() => void) | undefined;
  const stalled = Promise.withResolvers<true>();
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      written.push(String(chunk));
      if (written.length > 1) done();
      else {
        first = done;
        stalled.resolve(true);
      }
    },
  });
  const log = await openAccessLogLines({ target: { kind: 'stream', stream }, log: silentLog, clock, queueLinesMax: 3 });
  log.record(call({ target: '/0' }));
  await stalled.promise;
  for (const path of ['/1', '/2', '/3', '/4', '/5']) log.record(call({ target: path }));
  assert.equal(log.dropped, 2);
  first?.();
  await log[Symbol.asyncDispose]();
  assert.deepEqual(
    lines(written.join('')).map((line) => line['path']),
    ['/0', '/1', '/2', '/3'],
  );
});

const PEER: PeerSample = {
  peer: 'eu-west',
  state: 'active',
  heartbeatAgeSeconds: 2,
  linksOutbound: 2,
  linksInbound: 1,
  bundleSequence: 1_767_225_600n,
  bundleNotAfterSeconds: 3600,
  bundleAgeSeconds: 12,
  bundleFetches: new Map([['failed', 2]]),
  bundleKeysIgnored: 1,
  bundleBehind: true,
  catalogVersionOurs: 4,
  catalogVersionTheirs: undefined,
  catalogLagSeconds: 0,
  exportsOffered: 3,
  importsReceived: 1,
  importReadyRatio: 0.5,
  queueDepth: 0,
  acks: 9,
  nacks: new Map([['name-refused', 1]]),
  reconnects: new Map([['heartbeat', 2]]),
  resyncs: new Map(),
};

function sampled(changes: Partial<GatewaySample> = {}): GatewaySample {
  return {
    peers: [PEER],
    bundleSequence: 5n,
    bundleNotAfterSeconds: 100,
    accessLogDropped: 4,
    reloads: { applied: 2, refused: 1 },
    quarantine: new Map([['peer', 3]]),
    ready: true,
    storeAvailable: false,
    storeMended: 3,
    storeUnsaved: 2,
    svidNotAfterSeconds: 1_800,
    identityFailing: false,
    workloadApi: { x509Issued: 7, jwtIssued: 8, streams: 2, turnedAway: 1 },
    ...changes,
  };
}

const known = () => ({ peers: new Set(['eu-west']), exports: new Set(['payments']) });

const counts = () => ({ calls: [], denials: [] });

test('calls are counted by peer, export and outcome, with their latency', async () => {
  const counters = new CallCounters({ known });
  const metrics = createMetrics({ version: '1', counts: () => counters.snapshot(), sample: () => sampled() });
  counters.record(call());
  counters.record(call({ verdict: 'denial', reason: 'denied-by-export', status: 403 }));
  const text = await metrics.text();
  assert.match(text, /jumpgate_calls_total\{direction="inbound",peer="eu-west",export="payments",outcome="ok"\} 1/);
  assert.match(text, /jumpgate_calls_total\{direction="inbound",peer="eu-west",export="payments",outcome="denied"\} 1/);
  assert.match(text, /jumpgate_call_duration_seconds_bucket\{le="0.025",[^}]*outcome="ok"\} 1/);
  assert.match(
    text,
    /jumpgate_authz_decisions_total\{peer="eu-west",export="payments",result="denial",reason="denied-by-export"\} 1/,
  );
  assert.match(text, /jumpgate_call_bytes_total\{[^}]*way="out"\} 14/);
});

test('names that configuration does not know become "unknown", so a caller makes no series', async () => {
  const counters = new CallCounters({ known });
  const metrics = createMetrics({ version: '1', counts: () => counters.snapshot(), sample: () => sampled() });
  for (let index = 0; index < 1000; index += 1) {
    const subject = subjectOf({ peer: `p${index}`, export: `e${index}"}\n` });
    counters.record(call({ subject, verdict: 'denial', reason: `R ${index}` }));
  }
  const text = await metrics.text();
  const series = text.split('\n').filter((line) => line.startsWith('jumpgate_calls_total{'));
  assert.deepEqual(series, [
    'jumpgate_calls_total{direction="inbound",peer="unknown",export="unknown",outcome="denied"} 1000',
  ]);
  assert.match(
    text,
    /jumpgate_authz_decisions_total\{peer="unknown",export="unknown",result="denial",reason="unknown"\} 1000/,
  );
});

test('a scrape shows the state of the gateway as it is now, and forgets peers that are gone', async () => {
  let now = sampled();
  const metrics = createMetrics({ version: '1.2.3', counts, sample: () => now });
  const text = await metrics.text();
  for (const line of [
    'jumpgate_build_info{version="1.2.3"} 1',
    'jumpgate_peer_state{peer="eu-west",state="active"} 1',
    'jumpgate_peer_state{peer="eu-west",state="degraded"} 0',
    'jumpgate_peer_heartbeat_age_seconds{peer="eu-west"} 2',
    'jumpgate_peer_reconnects_total{peer="eu-west",reason="heartbeat"} 2',
    'jumpgate_catalog_version{peer="eu-west",side="ours"} 4',
    'jumpgate_replication_acks_total{peer="eu-west"} 9',
    'jumpgate_replication_nacks_total{peer="eu-west",code="name-refused"} 1',
    'jumpgate_bundle_sequence{peer="self"} 5',
    'jumpgate_bundle_sequence{peer="eu-west"} 1767225600',
    'jumpgate_bundle_peers_behind 1',
    'jumpgate_import_ready_ratio{peer="eu-west"} 0.5',
    'jumpgate_link_connections{peer="eu-west",direction="inbound"} 1',
    'jumpgate_access_log_dropped_total 4',
    'jumpgate_config_reloads_total{result="refused"} 1',
    'jumpgate_quarantine_entries{kind="peer"} 3',
    'jumpgate_quarantine_entries{kind="key"} 0',
    'jumpgate_ready 1',
    'jumpgate_store_available 0',
    'jumpgate_store_rows_mended_total 3',
    'jumpgate_store_rows_unsaved 2',
    'jumpgate_svid_not_after_seconds{peer="self"} 1800',
    'jumpgate_identity_failing 0',
    'jumpgate_workload_svids_issued_total{kind="x509"} 7',
    'jumpgate_workload_svids_issued_total{kind="jwt"} 8',
    'jumpgate_workload_api_calls 2',
    'jumpgate_workload_api_turned_away_total 1',
  ])
    assert.ok(text.includes(`${line}\n`), line);
  assert.ok(!/catalog_version\{[^}]*theirs/.test(text), 'what is not known shows no line');
  assert.match(
    await metrics.text(),
    /jumpgate_replication_acks_total\{peer="eu-west"\} 9\n/,
    'a second scrape adds nothing',
  );
  now = sampled({ peers: [] });
  assert.ok(!(await metrics.text()).includes('peer="eu-west"'));
});

test('the trailers decide the outcome of a gRPC call', () => {
  const outcome = (changes: Partial<EndedCall>): string | undefined => OUTCOMES[outcomeIndex(call(changes))];
  assert.equal(outcome({ grpcStatus: 0 }), 'ok');
  assert.equal(outcome({ grpcStatus: 5 }), 'client-error');
  assert.equal(outcome({ grpcStatus: 14 }), 'server-error');
  assert.equal(outcome({ status: 404 }), 'client-error');
  assert.equal(outcome({ status: 503 }), 'server-error');
  assert.equal(outcome({ verdict: 'denial', status: 403 }), 'denied');
  assert.equal(outcome({ verdict: 'error', status: 503 }), 'failed');
});

test('every sink of a call is told of it once, in order', () => {
  const told: string[] = [];
  const sinks = new CallSinks([
    { record: ({ status }) => told.push(`log ${status}`) },
    { record: ({ status }) => told.push(`metrics ${status}`) },
  ]);
  sinks.record(call({ status: 200 }));
  sinks.record(call({ status: 503 }));
  assert.deepEqual(told, ['log 200', 'metrics 200', 'log 503', 'metrics 503']);
});
