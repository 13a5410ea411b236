/** Counters of calls in typed arrays, which a call increments by index; nothing is allocated or looked up per call. */
import {
  type CallCounts,
  type CallRow,
  type DenialRow,
  LATENCY_BUCKETS,
  OUTCOMES,
  outcomeIndex,
} from './call-counts.ts';
import { type CallSubject, type CallSubjectFacts, type EndedCall, type EndedCalls } from './call-subject.ts';
import { ClosedLabels, type KnownNames } from './closed-labels.ts';

/** A row of cells: calls by bucket of latency, the last for those beyond the buckets, then the sums. */
const BUCKETS = LATENCY_BUCKETS.length + 1;
const SECONDS = BUCKETS;
const BYTES_IN = BUCKETS + 1;
const BYTES_OUT = BUCKETS + 2;
const ROW_CELLS = BUCKETS + 3;
const DENIED = OUTCOMES.indexOf('denied');
/** A small gateway's; it doubles as rows are needed. */
const ROWS_AT_FIRST = 64;

/** What the counters of calls need. */
export interface CallCountersOptions {
  /** Asked when a subject is first seen, and again after {@link CallCounters.namesChanged}. */
  readonly known: () => KnownNames;
}

/** The calls of one gateway or worker process. */
export class CallCounters implements EndedCalls {
  readonly #labels: ClosedLabels;
  readonly #series = new Map<string, Series>();
  /** A double counts exactly up to 2^53. */
  #cells = new Float64Array(ROWS_AT_FIRST * ROW_CELLS);
  #rows = 0;
  /** Marks the places that subjects may keep: another object once names have changed. */
  #names: object = {};

  constructor(options: CallCountersOptions) {
    this.#labels = new ClosedLabels(options.known);
  }

  /** Configuration has changed: subjects find their labels again at their next call. Counts stay. */
  namesChanged(): void {
    this.#names = {};
  }

  /** See {@link EndedCalls}. */
  record(call: EndedCall): void {
    const kept = call.subject.series;
    const place = kept instanceof Place && kept.names === this.#names ? kept : this.#placeOf(call.subject);
    const outcome = outcomeIndex(call);
    let at = place.rows[outcome] ?? -1;
    if (at < 0) at = this.#addRow(place.rows, outcome);
    const seconds = call.durationMs / 1000;
    const cells = this.#cells;
    const bucket = at + bucketOf(seconds);
    // Rows are added before they are named, so that the cells are there.
    cells[bucket] = (cells[bucket] ?? 0) + 1;
    cells[at + SECONDS] = (cells[at + SECONDS] ?? 0) + seconds;
    cells[at + BYTES_IN] = (cells[at + BYTES_IN] ?? 0) + call.bytesIn;
    cells[at + BYTES_OUT] = (cells[at + BYTES_OUT] ?? 0) + call.bytesOut;
    if (outcome === DENIED) this.#deny(place.series, call.reason);
  }

  /** All counts since the start. */
  snapshot(): CallCounts {
    const calls: CallRow[] = [];
    const denials: DenialRow[] = [];
    for (const { direction, peer, exported, rows, denied } of this.#series.values()) {
      for (const [index, outcome] of OUTCOMES.entries()) {
        const at = rows[index] ?? -1;
        if (at >= 0) calls.push({ direction, peer, export: exported, outcome, ...this.#read(at) });
      }
      for (const [reason, count] of denied) denials.push({ peer, export: exported, reason, count });
    }
    return { calls, denials };
  }

  #placeOf(subject: CallSubject): Place {
    const { direction } = subject.facts;
    const { peer, exported } = this.#labels.of(subject.facts);
    const key = `${direction} ${peer} ${exported}`;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { direction, peer, exported, rows: new Int32Array(OUTCOMES.length).fill(-1), denied: new Map() };
      this.#series.set(key, series);
    }
    const place = new Place(series, this.#names);
    subject.series = place;
    return place;
  }

  #addRow(rows: Int32Array, outcome: number): number {
    const at = this.#rows * ROW_CELLS;
    this.#rows += 1;
    if (at + ROW_CELLS > this.#cells.length) {
      const wider = new Float64Array(this.#cells.length * 2);
      wider.set(this.#cells);
      this.#cells = wider;
    }
    rows[outcome] = at;
    return at;
  }

  #deny(series: Series, reason: string | undefined): void {
    const label = this.#labels.reason(reason);
    series.denied.set(label, (series.denied.get(label) ?? 0) + 1);
  }

  #read(at: number): Pick<CallRow, 'buckets' | 'seconds' | 'bytesIn' | 'bytesOut'> {
    const cells = this.#cells;
    return {
      buckets: Array.from(cells.subarray(at, at + BUCKETS)),
      seconds: cells[at + SECONDS] ?? 0,
      bytesIn: cells[at + BYTES_IN] ?? 0,
      bytesOut: cells[at + BYTES_OUT] ?? 0,
    };
  }
}

/** Calls of one direction, peer and export. */
interface Series {
  readonly direction: CallSubjectFacts['direction'];
  readonly peer: string;
  readonly exported: string;
  /** First cell of the row of each outcome; -1 before its first call. */
  readonly rows: Int32Array;
  readonly denied: Map<string, number>;
}

/** Where the calls of one subject are counted, as long as the names are those it was found with. */
class Place {
  readonly series: Series;
  readonly rows: Int32Array;
  readonly names: object;

  constructor(series: Series, names: object) {
    this.series = series;
    this.rows = series.rows;
    this.names = names;
  }
}

/** Calls are mostly quick, so that looking from below finds theirs soonest. */
function bucketOf(seconds: number): number {
  let bucket = 0;
  for (; bucket < LATENCY_BUCKETS.length; bucket += 1) if (seconds <= (LATENCY_BUCKETS[bucket] ?? 0)) break;
  return bucket;
}
