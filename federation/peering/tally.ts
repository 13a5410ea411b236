/** What has been replicated with one peer since the start, counted from the frames of all its streams. */
import { type Frame } from './frame.ts';

/** Codes come from the peer: more different ones than any version of ours has names are counted as `unknown`. */
const CODES_MAX = 32;
const UNKNOWN = 'unknown';
const CODE = /^[a-z][a-z0-9-]{0,63}$/;

/** Counts of one peer. */
export interface TallyCounts {
  /** Versions of our catalogue that the peer has applied. */
  readonly acks: number;
  /** Entries of ours that the peer refused, and whole versions, by code. */
  readonly nacks: ReadonlyMap<string, number>;
  /** Whole catalogues: `sent` to the peer and `received` from it. */
  readonly resyncs: ReadonlyMap<'sent' | 'received', number>;
}

/** The counts of a peer that never had a stream. */
export const NOTHING_COUNTED: TallyCounts = { acks: 0, nacks: new Map(), resyncs: new Map() };

/** Counts frames as they pass. */
export class Tally implements TallyCounts {
  acks = 0;
  readonly nacks = new Map<string, number>();
  readonly resyncs = new Map<'sent' | 'received', number>();

  /** A frame of ours was queued for the peer. */
  sent(frame: Frame): void {
    if (frame.kind === 'snapshot' && frame.end) this.#resync('sent');
  }

  /** A frame of the peer was read. */
  received(frame: Frame): void {
    if (frame.kind === 'snapshot' && frame.end) this.#resync('received');
    else if (frame.kind === 'ack') this.acks += 1;
    else if (frame.kind === 'nack' && frame.rejections.length === 0) this.#nack(frame.code);
    else if (frame.kind === 'nack') for (const { code } of frame.rejections) this.#nack(code);
  }

  #resync(kind: 'sent' | 'received'): void {
    this.resyncs.set(kind, (this.resyncs.get(kind) ?? 0) + 1);
  }

  #nack(code: string): void {
    const known = CODE.test(code) && (this.nacks.has(code) || this.nacks.size < CODES_MAX);
    const label = known ? code : UNKNOWN;
    this.nacks.set(label, (this.nacks.get(label) ?? 0) + 1);
  }
}
