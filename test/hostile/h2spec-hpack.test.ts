/** h2spec, "HPACK: Header Compression for HTTP/2": blocks that no decoder may accept, as connection errors. */
import { answered, conformance, connectionError, row, type SpecRow } from '../support/h2spec.ts';
import { CODE, headersFrame, SETTING } from '../support/http2-frames.ts';
import { block, indexed, literal, LITERAL, tableSize } from '../support/raw-hpack.ts';
import { type RawHttp2 } from '../support/raw-http2.ts';

const NOTHING = Buffer.alloc(0);
const DEFAULT_TABLE_BYTES = 4096;

/** The fields of a GET between other bytes of its block. */
function getBetween(peer: RawHttp2, before: Buffer, after: Buffer, stream = 1): Buffer {
  return headersFrame(stream, Buffer.concat([before, block(peer.request()), after]));
}

/** A block with these bytes at its end is a decoding error. */
function refused(section: string, title: string, hex: string): SpecRow {
  return row(section, title, async (peer) => {
    peer.write(getBetween(peer, NOTHING, Buffer.from(hex, 'hex')));
    await connectionError(peer, CODE.compressionError);
  });
}

/** A block with these bytes before it is a decoding error. */
function refusedBefore(title: string, before: (tableBytes: number) => Buffer): SpecRow {
  return row('6.3', title, async (peer) => {
    peer.write(getBetween(peer, before(peer.settings.get(SETTING.headerTableSize) ?? DEFAULT_TABLE_BYTES), NOTHING));
    await connectionError(peer, CODE.compressionError);
  });
}

const rows: readonly SpecRow[] = [
  refused('2.3.3', 'Sends a indexed header field representation with invalid index', 'c6'),
  refused('2.3.3', 'Sends a literal header field representation with invalid index', '7f0700'),
  refused('4.2', 'Sends a dynamic table size update at the end of header block', '21'),
  refused(
    '5.2',
    'Sends a Huffman-encoded string literal representation with padding longer than 7 bits',
    '0085f2b24a84ff8449509fff',
  ),
  refused('5.2', 'Sends a Huffman-encoded string literal representation padded by zero', '0085f2b24a84ff83495090'),
  refused(
    '5.2',
    'Sends a Huffman-encoded string literal representation containing the EOS symbol',
    '0085f2b24a84ff874951fffffffa7f',
  ),
  refused('6.1', 'Sends a indexed header field representation with index 0', '80'),
  refusedBefore('Sends a dynamic table size update larger than the value of SETTINGS_HEADER_TABLE_SIZE', (tableBytes) =>
    tableSize(tableBytes + 1),
  ),
];

const own: readonly SpecRow[] = [
  refused('5.1', 'refuses an integer of ten bytes', 'ffffffffffffffffffffff01'),
  refused('5.1', 'refuses an integer that wraps 32 bits to a valid index', 'ff83ffffff1f'),
  refused('5.1', 'refuses an integer that is cut off', 'ff80'),
  refused('5.1', 'refuses a string length of 2^32 and more', '00ffffffffff0f'),
  refused('5.2', 'refuses a string longer than its block', '000378'),
  refused('5.2', 'refuses a literal without its value', '000178'),
  refused('5.2', 'refuses a Huffman-encoded string that is one byte of padding', '000178' + '81ff'),
  refused('5.2', 'refuses EOS as the whole string', '000178' + '84ffffffff'),
  refused('2.3.3', 'refuses the first index beyond the static table when the dynamic one is empty', 'be'),
  refusedBefore('refuses a size update after a field', (bytes) =>
    Buffer.concat([indexed(2), tableSize(Math.min(bytes, 100))]),
  ),
  row('6.3', 'accepts a size update to exactly the limit', async (peer) => {
    const limit = peer.settings.get(SETTING.headerTableSize) ?? DEFAULT_TABLE_BYTES;
    peer.write(getBetween(peer, tableSize(limit), NOTHING));
    await answered(peer);
  }),
  row('4.3', 'evicts what was added when the table is emptied, so that its index is no more', async (peer) => {
    peer.write(getBetween(peer, NOTHING, literal('x-kept', 'v', LITERAL.indexed)));
    peer.write(getBetween(peer, tableSize(0), indexed(62), 3));
    await connectionError(peer, CODE.compressionError);
  }),
  row('4.3', 'keeps what was added from one block to the next', async (peer) => {
    peer.write(getBetween(peer, NOTHING, literal('x-kept', 'v', LITERAL.indexed)));
    await answered(peer, 1);
    peer.write(getBetween(peer, NOTHING, indexed(62), 3));
    await answered(peer, 3);
  }),
  row('4.4', 'empties the table for an entry larger than the table', async (peer) => {
    const tooLarge = 'v'.repeat(DEFAULT_TABLE_BYTES);
    peer.write(getBetween(peer, NOTHING, literal('x-kept', 'v', LITERAL.indexed)));
    peer.write(getBetween(peer, NOTHING, literal('x-large', tooLarge, LITERAL.indexed), 3));
    peer.write(getBetween(peer, NOTHING, indexed(62), 5));
    await connectionError(peer, CODE.compressionError);
  }),
  row('4.3', 'keeps its table in step with blocks of refused and reset requests', async (peer) => {
    peer.write(
      getBetween(peer, NOTHING, Buffer.concat([literal('X-Upper', 'v'), literal('x-a', '1', LITERAL.indexed)])),
    );
    peer.write(getBetween(peer, NOTHING, indexed(62), 3));
    await answered(peer, 3);
  }),
];

conformance('hpack', [...rows, ...own], []);
