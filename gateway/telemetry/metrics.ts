/** Prometheus metrics: counters of calls as they end, and the gateway's state as sampled at each scrape. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

import { type CallRecord, type CallSink } from './call-record.ts';
import { type GatewaySample, PEER_STATES, type PeerSample } from './sample.ts';

/** Names that configuration knows: the only ones that become label values. */
export interface KnownNames {
  readonly peers: ReadonlySet<string>;
  /** Names of our exports, and of the peers' exports that our imports name. */
  readonly exports: ReadonlySet<string>;
}

/** What the metrics need; all three are asked again each time. */
export interface MetricsOptions {
  readonly version: string;
  readonly known: () => KnownNames;
  readonly sample: () => GatewaySample;
}

/** A registry of its own per gateway, so that two in one process stay apart. */
export interface Metrics extends CallSink {
  readonly contentType: string;
  text(): Promise<string>;
}

/** How a call ended, as a label. `denied` is policy's, `failed` the gateway's, the others the service's answer. */
export type Outcome = 'ok' | 'client-error' | 'server-error' | 'denied' | 'failed';

/**
 * Series of one metric: peers × exports × outcomes of a busy gateway fit; beyond it calls count as `unknown`, so that
 * configuration which comes and goes cannot fill the memory of gateway or Prometheus.
 */
const SERIES_MAX = 20_000;
/** Reason codes come from one table of ours, which is much smaller. */
const REASONS_MAX = 100;
const UNKNOWN = 'unknown';
/** From a call next door to one across an ocean that waits for a slow service; seconds. */
const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** gRPC codes that blame the caller: CANCELLED, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION, OUT_OF_RANGE, UNAUTHENTICATED. */
const GRPC_CLIENT_CODES: ReadonlySet<number> = new Set([1, 3, 5, 6, 7, 9, 11, 16]);

/** Makes the metrics of one gateway. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const calls = callMetrics(registry);
  const labels = new ClosedLabels(options.known);
  const fill = gatewayMetrics(registry, options);
  return {
    contentType: registry.contentType,
    text: () => {
      fill();
      return registry.metrics();
    },
    record: (record) => {
      const { peer, exported } = labels.of(record);
      const outcome = outcomeOf(record);
      const { direction } = record;
      calls.total.inc({ direction, peer, export: exported, outcome });
      calls.seconds.observe({ direction, peer, export: exported, outcome }, record.durationMs / 1000);
      calls.bytes.inc({ direction, peer, export: exported, way: 'in' }, record.bytesIn);
      calls.bytes.inc({ direction, peer, export: exported, way: 'out' }, record.bytesOut);
      if (record.verdict === 'error') return;
      const reason = labels.reason(record.verdict === 'permit' ? 'none' : (record.reason ?? UNKNOWN));
      calls.decisions.inc({ peer, export: exported, result: record.verdict, reason });
    },
  };
}

/** The outcome of a call. For gRPC the trailers decide, since its HTTP status is 200 whatever happened. */
export function outcomeOf(record: Pick<CallRecord, 'verdict' | 'status' | 'grpcStatus'>): Outcome {
  if (record.verdict === 'denial') return 'denied';
  if (record.verdict === 'error') return 'failed';
  if (record.grpcStatus !== undefined) {
    if (record.grpcStatus === 0) return 'ok';
    return GRPC_CLIENT_CODES.has(record.grpcStatus) ? 'client-error' : 'server-error';
  }
  if (record.status >= 500) return 'server-error';
  return record.status >= 400 ? 'client-error' : 'ok';
}

/** Turns what a call says about itself into values of closed sets. */
class ClosedLabels {
  readonly #known: () => KnownNames;
  readonly #pairs = new Set<string>();
  readonly #reasons = new Set<string>();

  constructor(known: () => KnownNames) {
    this.#known = known;
  }

  of(record: CallRecord): { readonly peer: string; readonly exported: string } {
    const { peers, exports } = this.#known();
    const peer =
      record.peer !== undefined && (record.peer === 'self' || peers.has(record.peer)) ? record.peer : UNKNOWN;
    const exported = record.export !== undefined && exports.has(record.export) ? record.export : UNKNOWN;
    const pair = `${peer} ${exported}`;
    if (!this.#pairs.has(pair)) {
      if (this.#pairs.size >= SERIES_MAX) return { peer: UNKNOWN, exported: UNKNOWN };
      this.#pairs.add(pair);
    }
    return { peer, exported };
  }

  reason(reason: string): string {
    if (this.#reasons.has(reason)) return reason;
    if (this.#reasons.size >= REASONS_MAX || !/^[a-z][a-z0-9-]{0,63}$/.test(reason)) return UNKNOWN;
    this.#reasons.add(reason);
    return reason;
  }
}

interface CallMetrics {
  readonly total: Counter;
  readonly seconds: Histogram;
  readonly bytes: Counter;
  readonly decisions: Counter;
}

function callMetrics(registry: Registry): CallMetrics {
  const registers = [registry];
  return {
    total: new Counter({
      name: 'jumpgate_calls_total',
      help: 'Calls that ended, by outcome.',
      labelNames: ['direction', 'peer', 'export', 'outcome'],
      registers,
    }),
    seconds: new Histogram({
      name: 'jumpgate_call_duration_seconds',
      help: 'Time from the first byte of a call to its end.',
      labelNames: ['direction', 'peer', 'export', 'outcome'],
      buckets: LATENCY_BUCKETS,
      registers,
    }),
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
  const memory = new Gauge({ name: 'process_resident_memory_bytes', help: 'Resident memory.', registers });
  const peers = peerMetrics(registry);
  const ready = new Gauge({ name: 'jumpgate_ready', help: 'Whether the gateway is ready.', registers });
  return (): void => {
    const now = sample();
    ready.set(now.ready ? 1 : 0);
    store.set(now.storeAvailable ? 1 : 0);
    memory.set(process.memoryUsage.rss());
    setTotal(dropped, {}, now.accessLogDropped);
    reloads.reset();
    reloads.inc({ result: 'applied' }, now.reloads.applied);
    reloads.inc({ result: 'refused' }, now.reloads.refused);
    for (const metric of Object.values(peers)) metric.reset();
    fillOwn(peers, now);
    for (const peer of now.peers) fillPeer(peers, peer);
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
