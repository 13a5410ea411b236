/** Prometheus metrics: counters of calls as they end, and the gateway's state as sampled at each scrape. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

import { DISTRUST_KINDS } from '../../trust-bundles/distrust/target.ts';
import { type CallCounts, type CallOutcome, type CallRow, LATENCY_BUCKETS } from './call-counts.ts';
import { type GatewaySample, PEER_STATES, type PeerSample, type WorkloadApiSample } from './sample.ts';

/** What the metrics need; what can change is asked again each time. */
export interface MetricsOptions {
  readonly version: string;
  readonly sample: () => GatewaySample;
  /** Counts of the calls of all workers. */
  readonly counts: () => CallCounts | Promise<CallCounts>;
}

/** A registry of its own per gateway, so that two in one process stay apart. */
export interface Metrics {
  readonly contentType: string;
  text(): Promise<string>;
}

/** Makes the metrics of one gateway. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const calls = callMetrics(registry);
  const fill = gatewayMetrics(registry, options);
  const { counts } = options;
  return {
    contentType: registry.contentType,
    text: async () => {
      fillCalls(calls, await counts());
      fill();
      return registry.metrics();
    },
  };
}

interface CallMetrics {
  readonly total: Counter;
  readonly seconds: CountedHistogram;
  readonly bytes: Counter;
  readonly decisions: Counter;
}

const CALL_LABELS = ['direction', 'peer', 'export', 'outcome'] as const;
const DURATION = {
  name: 'jumpgate_call_duration_seconds',
  help: 'Time from the first byte of a call to its end.',
  labelNames: CALL_LABELS,
} as const;

function callMetrics(registry: Registry): CallMetrics {
  const registers = [registry];
  return {
    total: new Counter({
      name: 'jumpgate_calls_total',
      help: 'Calls that ended, by outcome.',
      labelNames: CALL_LABELS,
      registers,
    }),
    seconds: new CountedHistogram(registry),
    bytes: new Counter({
      name: 'jumpgate_call_bytes_total',
      help: 'Body bytes of calls: in is from the caller, out is to it.',
      labelNames: ['direction', 'peer', 'export', 'way'],
      registers,
    }),
    decisions: new Counter({
      name: 'jumpgate_authz_decisions_total',
      help: 'Verdicts of policy on calls.',
      labelNames: ['peer', 'export', 'result', 'reason'],
      registers,
    }),
  };
}

/** prom-client's histogram only takes calls one by one; this one shows those that are counted elsewhere. */
class CountedHistogram extends Histogram {
  rows: readonly CallRow[] = [];

  constructor(registry: Registry) {
    super({ ...DURATION, buckets: [...LATENCY_BUCKETS], registers: [registry] });
  }

  /** What a registry asks for, and `get()` also: the shape of prom-client's own. */
  async getForPromString(): Promise<object> {
    return { name: DURATION.name, help: DURATION.help, type: 'histogram', aggregator: 'sum', values: this.#values() };
  }

  #values(): readonly object[] {
    return this.rows.flatMap(({ direction, peer, export: exported, outcome, buckets, seconds }) => {
      const sharedLabels = { direction, peer, export: exported, outcome };
      let count = 0;
      const values: object[] = buckets.map((calls, index) => {
        count += calls;
        const labels = { le: LATENCY_BUCKETS[index] ?? '+Inf' };
        return { metricName: `${DURATION.name}_bucket`, labels, sharedLabels, value: count };
      });
      values.push({ metricName: `${DURATION.name}_sum`, labels: {}, sharedLabels, value: seconds });
      values.push({ metricName: `${DURATION.name}_count`, labels: {}, sharedLabels, value: count });
      return values;
    });
  }
}

/** Outcomes of calls that policy permitted. */
const PERMITTED: ReadonlySet<CallOutcome> = new Set(['ok', 'client-error', 'server-error']);

function fillCalls(metrics: CallMetrics, counts: CallCounts): void {
  const { total, seconds, bytes, decisions } = metrics;
  total.reset();
  bytes.reset();
  decisions.reset();
  seconds.rows = counts.calls;
  for (const row of counts.calls) {
    const { direction, peer, export: exported, outcome } = row;
    const calls = row.buckets.reduce((sum, bucket) => sum + bucket, 0);
    total.inc({ direction, peer, export: exported, outcome }, calls);
    bytes.inc({ direction, peer, export: exported, way: 'in' }, row.bytesIn);
    bytes.inc({ direction, peer, export: exported, way: 'out' }, row.bytesOut);
    if (PERMITTED.has(outcome)) decisions.inc({ peer, export: exported, result: 'permit', reason: 'none' }, calls);
  }
  for (const { peer, export: exported, reason, count } of counts.denials)
    decisions.inc({ peer, export: exported, result: 'denial', reason }, count);
}

/** Returns what takes the sample of a scrape. */
function gatewayMetrics(registry: Registry, { version, sample }: MetricsOptions): () => void {
  const registers = [registry];
  new Gauge({ name: 'jumpgate_build_info', help: 'Always 1.', labelNames: ['version'], registers }).set({ version }, 1);
  const dropped = new Counter({ name: 'jumpgate_access_log_dropped_total', help: 'Access log lines lost.', registers });
  const reloads = new Counter({
    name: 'jumpgate_config_reloads_total',
    help: 'Reloads of the configuration that changed something or were refused.',
    labelNames: ['result'],
    registers,
  });
  const store = new Gauge({ name: 'jumpgate_store_available', help: 'Whether the store answers.', registers });
  const mended = new Counter({
    name: 'jumpgate_store_rows_mended_total',
    help: 'Rows that the shared store had lost or brought back in an older state, written again.',
    registers,
  });
  const unsaved = new Gauge({
    name: 'jumpgate_store_rows_unsaved',
    help: 'Rows of the shared store that the disk of this machine does not take.',
    registers,
  });
  const quarantine = new Gauge({
    name: 'jumpgate_quarantine_entries',
    help: 'Quarantines in force.',
    labelNames: ['kind'],
    registers,
  });
  const svidEnd = new Gauge({
    name: 'jumpgate_svid_not_after_seconds',
    help: 'Time until our own SVID ends; no line while there is none.',
    // As with bundles; and a gauge without labels would show 0 for what is not there.
    labelNames: ['peer'],
    registers,
  });
  const failing = new Gauge({
    name: 'jumpgate_identity_failing',
    help: 'Whether our own identity is missing or cannot be renewed.',
    registers,
  });
  const memory = new Gauge({ name: 'process_resident_memory_bytes', help: 'Resident memory.', registers });
  const fillWorkloads = workloadApiMetrics(registry);
  const peers = peerMetrics(registry);
  const ready = new Gauge({ name: 'jumpgate_ready', help: 'Whether the gateway is ready.', registers });
  return (): void => {
    const now = sample();
    ready.set(now.ready ? 1 : 0);
    store.set(now.storeAvailable ? 1 : 0);
    setTotal(mended, {}, now.storeMended);
    unsaved.set(now.storeUnsaved);
    svidEnd.reset();
    setKnown(svidEnd, { peer: 'self' }, now.svidNotAfterSeconds);
    failing.set(now.identityFailing || now.svidNotAfterSeconds === undefined ? 1 : 0);
    for (const kind of DISTRUST_KINDS) quarantine.set({ kind }, now.quarantine.get(kind) ?? 0);
    memory.set(process.memoryUsage.rss());
    setTotal(dropped, {}, now.accessLogDropped);
    reloads.reset();
    reloads.inc({ result: 'applied' }, now.reloads.applied);
    reloads.inc({ result: 'refused' }, now.reloads.refused);
    fillWorkloads(now.workloadApi);
    for (const metric of Object.values(peers)) metric.reset();
    fillOwn(peers, now);
    for (const peer of now.peers) fillPeer(peers, peer);
  };
}

/** Returns what shows a sample of the Workload API's sockets. */
function workloadApiMetrics(registry: Registry): (sample: WorkloadApiSample) => void {
  const registers = [registry];
  const issued = new Counter({
    name: 'jumpgate_workload_svids_issued_total',
    help: 'SVIDs issued to workloads over the Workload API.',
    labelNames: ['kind'],
    registers,
  });
  const streams = new Gauge({ name: 'jumpgate_workload_api_calls', help: 'Workload API calls under way.', registers });
  const turnedAway = new Counter({
    name: 'jumpgate_workload_api_turned_away_total',
    help: 'Workload API calls and connections over a limit.',
    registers,
  });
  return (sample) => {
    issued.reset();
    issued.inc({ kind: 'x509' }, sample.x509Issued);
    issued.inc({ kind: 'jwt' }, sample.jwtIssued);
    streams.set(sample.streams);
    setTotal(turnedAway, {}, sample.turnedAway);
  };
}

/** Metrics with the label `peer`, named as in the design of federation. */
interface PeerMetrics extends Readonly<Record<string, Gauge | Counter>> {
  readonly state: Gauge;
  readonly reconnects: Counter;
  readonly heartbeatAge: Gauge;
  readonly catalogVersion: Gauge;
  readonly catalogLag: Gauge;
  readonly catalogResources: Gauge;
  readonly acks: Counter;
  readonly nacks: Counter;
  readonly queueDepth: Gauge;
  readonly resyncs: Counter;
  readonly bundleSequence: Gauge;
  readonly bundleNotAfter: Gauge;
  readonly bundleAge: Gauge;
  readonly bundleFetches: Counter;
  readonly bundleKeysIgnored: Gauge;
  readonly bundlePeersBehind: Gauge;
  readonly importReadyRatio: Gauge;
  readonly linkConnections: Gauge;
}

function peerMetrics(registry: Registry): PeerMetrics {
  const gauge = (name: string, help: string, labels: readonly string[] = []): Gauge =>
    new Gauge({ name: `jumpgate_${name}`, help, labelNames: ['peer', ...labels], registers: [registry] });
  const counter = (name: string, help: string, labels: readonly string[] = []): Counter =>
    new Counter({ name: `jumpgate_${name}`, help, labelNames: ['peer', ...labels], registers: [registry] });
  return {
    state: gauge('peer_state', 'One line per state; 1 marks the present one.', ['state']),
    reconnects: counter('peer_reconnects_total', 'Control streams opened again.', ['reason']),
    heartbeatAge: gauge('peer_heartbeat_age_seconds', 'Time since the last heartbeat.'),
    catalogVersion: gauge('catalog_version', 'Catalogue version applied: ours at the peer, theirs here.', ['side']),
    catalogLag: gauge('catalog_lag_seconds', 'How long our newest catalogue waits for the peer.'),
    catalogResources: gauge('catalog_resources', 'Entries offered (ours) and received (theirs).', ['side', 'kind']),
    acks: counter('replication_acks_total', 'Updates that the peer applied.'),
    nacks: counter('replication_nacks_total', 'Entries, and whole versions, that the peer refused.', ['code']),
    queueDepth: gauge('replication_queue_depth', 'Changed entries that wait for the answer to the version under way.'),
    resyncs: counter('resyncs_total', 'Whole catalogues, sent to the peer and received from it.', ['kind']),
    bundleSequence: gauge('bundle_sequence', 'Sequence of the bundle in use; peer "self" is ours.'),
    bundleNotAfter: gauge('bundle_not_after_seconds', 'Time until the first authority of the bundle ends.'),
    bundleAge: gauge('bundle_age_seconds', 'Time since the bundle was last obtained or confirmed.'),
    bundleFetches: counter('bundle_fetches_total', 'Fetches of the bundle of a peer.', ['result']),
    bundleKeysIgnored: gauge('bundle_keys_ignored', 'Keys of the last document that were passed over.'),
    bundlePeersBehind: new Gauge({
      name: 'jumpgate_bundle_peers_behind',
      help: 'Peers that do not hold our newest bundle.',
      registers: [registry],
    }),
    importReadyRatio: gauge('import_ready_ratio', 'Share of the imports of a peer that is active.'),
    linkConnections: gauge('link_connections', 'Links that are up.', ['direction']),
  };
}

function fillOwn(metrics: PeerMetrics, now: GatewaySample): void {
  setKnown(
    metrics.bundleSequence,
    { peer: 'self' },
    now.bundleSequence === undefined ? undefined : Number(now.bundleSequence),
  );
  setKnown(metrics.bundleNotAfter, { peer: 'self' }, now.bundleNotAfterSeconds);
  metrics.bundlePeersBehind.set(now.peers.filter((peer) => peer.bundleBehind).length);
}

function fillPeer(metrics: PeerMetrics, sample: PeerSample): void {
  const { peer } = sample;
  for (const state of PEER_STATES) metrics.state.set({ peer, state }, state === sample.state ? 1 : 0);
  setKnown(metrics.heartbeatAge, { peer }, sample.heartbeatAgeSeconds);
  setKnown(metrics.catalogVersion, { peer, side: 'ours' }, sample.catalogVersionOurs);
  setKnown(metrics.catalogVersion, { peer, side: 'theirs' }, sample.catalogVersionTheirs);
  setKnown(metrics.catalogLag, { peer }, sample.catalogLagSeconds);
  metrics.catalogResources.set({ peer, side: 'ours', kind: 'export' }, sample.exportsOffered);
  metrics.catalogResources.set({ peer, side: 'theirs', kind: 'export' }, sample.importsReceived);
  if (sample.acks !== undefined) metrics.acks.inc({ peer }, sample.acks);
  if (sample.queueDepth !== undefined) metrics.queueDepth.set({ peer }, sample.queueDepth);
  // A double holds sequences (unix seconds) exactly up to 2^53.
  setKnown(
    metrics.bundleSequence,
    { peer },
    sample.bundleSequence === undefined ? undefined : Number(sample.bundleSequence),
  );
  setKnown(metrics.bundleNotAfter, { peer }, sample.bundleNotAfterSeconds);
  setKnown(metrics.bundleAge, { peer }, sample.bundleAgeSeconds);
  setKnown(metrics.bundleKeysIgnored, { peer }, sample.bundleKeysIgnored);
  for (const [result, total] of sample.bundleFetches) metrics.bundleFetches.inc({ peer, result }, total);
  setKnown(metrics.importReadyRatio, { peer }, sample.importReadyRatio);
  metrics.linkConnections.set({ peer, direction: 'outbound' }, sample.linksOutbound);
  metrics.linkConnections.set({ peer, direction: 'inbound' }, sample.linksInbound);
  for (const [code, total] of sample.nacks) metrics.nacks.inc({ peer, code }, total);
  for (const [reason, total] of sample.reconnects) metrics.reconnects.inc({ peer, reason }, total);
  for (const [kind, total] of sample.resyncs) metrics.resyncs.inc({ peer, kind }, total);
}

function setKnown(gauge: Gauge, labels: Readonly<Record<string, string>>, value: number | undefined): void {
  if (value !== undefined) gauge.set(labels, value);
}

/** prom-client's counters only go up by steps; the totals are kept elsewhere. */
function setTotal(counter: Counter, labels: Readonly<Record<string, string>>, total: number): void {
  counter.reset();
  counter.inc(labels, total);
}
