/** The open streams of a connection by their id: a hash table of their own links, so that opening and closing one allocates nothing. */
import { randomInt } from 'node:crypto';

import { type Stream } from './stream.ts';

/** A power of two; a connection with few streams stays small. */
const SLOTS_AT_FIRST = 32;

/** Ids that follow each other lie side by side up to here; above, a peer may choose which ids to use. */
const NEAR_BITS = 17;

/**
 * Not a Map: each time that V8 rebuilds one, the old table points to the new one, and once the first is in the old
 * generation every later one survives each scavenge with the streams that it held, which was half of all garbage.
 */
export class StreamTable {
  /** Without it the other end could choose ids that all fall into one slot. */
  readonly #secret = randomInt(2 ** 32);
  #slots: (Stream | undefined)[] = emptySlots(SLOTS_AT_FIRST);
  #size = 0;

  /** Streams in it. */
  get size(): number {
    return this.#size;
  }

  /** The stream of this id. */
  get(id: number): Stream | undefined {
    let stream = this.#slots[this.#slotOf(id)];
    while (stream !== undefined && stream.id !== id) stream = stream.nextInSlot;
    return stream;
  }

  /** Adds a stream, whose id is in no other. */
  add(stream: Stream): void {
    if (this.#size * 2 >= this.#slots.length) this.#grow();
    this.#put(stream);
    this.#size += 1;
  }

  /** Takes a stream out; nothing happens if it is not in. */
  delete(stream: Stream): void {
    const slot = this.#slotOf(stream.id);
    let before: Stream | undefined;
    let each = this.#slots[slot];
    while (each !== undefined && each !== stream) {
      before = each;
      each = each.nextInSlot;
    }
    if (each === undefined) return;
    if (before === undefined) this.#slots[slot] = stream.nextInSlot;
    else before.nextInSlot = stream.nextInSlot;
    stream.nextInSlot = undefined;
    this.#size -= 1;
  }

  /** Those that are in it now, in no order. */
  all(): readonly Stream[] {
    const found: Stream[] = [];
    for (const first of this.#slots)
      for (let each = first; each !== undefined; each = each.nextInSlot) found.push(each);
    return found;
  }

  /** The same in the order of their ids, which costs more than a peer should be able to ask for. */
  inOrder(): readonly Stream[] {
    return this.all().toSorted((one, other) => one.id - other.id);
  }

  #put(stream: Stream): void {
    const slot = this.#slotOf(stream.id);
    stream.nextInSlot = this.#slots[slot];
    this.#slots[slot] = stream;
  }

  #grow(): void {
    const streams = this.all();
    this.#slots = emptySlots(this.#slots.length * 2);
    for (const stream of streams) this.#put(stream);
  }

  #slotOf(id: number): number {
    // The finaliser of MurmurHash3, keyed.
    let far = Math.imul((id >>> NEAR_BITS) ^ this.#secret, 0x85ebca6b);
    far = Math.imul(far ^ (far >>> 13), 0xc2b2ae35);
    return ((id >>> 1) ^ (far >>> 16)) & (this.#slots.length - 1);
  }
}

function emptySlots(count: number): (Stream | undefined)[] {
  return Array.from({ length: count }, () => undefined);
}
