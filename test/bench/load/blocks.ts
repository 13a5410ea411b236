/** Header blocks of the load generator and of the backend (RFC 7541), made once; what varies is patched in place. */

const DIGITS = 8;

/** A string without Huffman coding; shorter than 127 bytes. */
function string(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value, 'latin1')]);
}

/** §6.2.1 with incremental indexing; the name is a static index or text. */
function indexed(name: number | string, value: string): Buffer {
  return typeof name === 'number'
    ? Buffer.concat([Buffer.from([0x40 | name]), string(value)])
    : Buffer.concat([Buffer.from([0x40]), string(name), string(value)]);
}

/** §6.2.2 without indexing; an index beyond the prefix of four bits goes on in the next octet (§5.1). */
function literal(name: number | string, value: string): Buffer {
  return typeof name === 'number'
    ? Buffer.concat([Buffer.from(name < 15 ? [name] : [15, name - 15]), string(value)])
    : Buffer.concat([Buffer.from([0]), string(name), string(value)]);
}

/** `GET /` of `host`, the same every time. */
export function getBlock(host: string): Buffer {
  return Buffer.concat([Buffer.from([0x82, 0x86, 0x84]), literal(1, host)]);
}

/** `POST /` of `host`, the same every time. */
export function postBlock(host: string): Buffer {
  return Buffer.concat([Buffer.from([0x83, 0x86, 0x84]), literal(1, host)]);
}

/** The blocks of one connection's gRPC calls: a path, a trace id and a deadline of its own in each. */
export class GrpcBlocks {
  readonly #first: Buffer;
  readonly #later: Buffer;
  #used = false;

  constructor(host: string) {
    const path = literal(4, `/bench.v1.Orders/Get${'0'.repeat(DIGITS)}`);
    const varying = [
      literal('traceparent', `00-4bf92f3577b34da6a3ce929d${'0'.repeat(DIGITS)}-00f067aa${'0'.repeat(DIGITS)}-01`),
      literal('grpc-timeout', '5S'),
    ];
    const known = [indexed(31, 'application/grpc'), indexed('te', 'trailers'), indexed(58, 'grpc-bench/1.0')];
    this.#first = Buffer.concat([Buffer.from([0x83, 0x86]), indexed(1, host), path, ...known, ...varying]);
    // The four known fields are in the dynamic table, which starts at index 62 with the newest: authority is the oldest.
    this.#later = Buffer.concat([Buffer.from([0x83, 0x86, 0xc1]), path, Buffer.from([0xc0, 0xbf, 0xbe]), ...varying]);
  }

  /** The block of call `id`; good until the next one is asked for. */
  next(id: number): Buffer {
    const block = this.#used ? this.#later : this.#first;
    this.#used = true;
    const digits = id.toString(16).padStart(DIGITS, '0');
    for (const [before, skip] of VARYING) block.write(digits, block.indexOf(before) + skip, 'latin1');
    return block;
  }
}

const VARYING: readonly (readonly [string, number])[] = [
  ['/Get', 4],
  ['4bf92f3577b34da6a3ce929d', 24],
  ['00f067aa', 8],
];

/** What the backend answers. */
export const ANSWERS = {
  plain: Buffer.concat([Buffer.from([0x88]), literal(31, 'text/plain')]),
  grpc: Buffer.concat([Buffer.from([0x88]), literal(31, 'application/grpc')]),
  grpcTrailers: Buffer.concat([literal('grpc-status', '0'), literal('grpc-message', '')]),
} as const;
