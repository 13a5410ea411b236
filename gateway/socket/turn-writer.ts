/** The rim's way out: writes what a connection gathered once per turn of the event loop. */
import { type Duplex } from 'node:stream';

import { type Outlet, type Output, type OutputBatch } from '../message/output.ts';

/** Bytes that may wait in the socket before the engine is held back: enough for a fast socket never to run dry. */
const BACKLOG_BYTES_MAX = 256 * 1024;

/** What a lagging socket keeps is copied to its own size below this, so that a slow reader does not hold a pooled buffer. */
const COMPACTED_BYTES_MAX = 16 * 1024;

/** Written behind what did not leave at once, to be told when it has. */
const NOTHING = new Uint8Array(0);

/** What a writer is made of. */
export interface TurnWriterOptions {
  readonly socket: Duplex;
  readonly output: Output;
  /** Called before each flush, to add what was put off until the end of the turn. */
  readonly onTurnEnd: () => void;
  /** Called when `writable` turns true again after it has been read as false. */
  readonly onWritable: () => void;
  /** Bytes that may wait in output and socket; 256 KiB if not given. */
  readonly backlogBytesMax?: number | undefined;
}

/** Flushes the output of one connection. Errors of the socket are its owner's to hear. */
export class TurnWriter implements Outlet {
  readonly output: Output;
  readonly #options: TurnWriterOptions;
  readonly #socket: Duplex;
  readonly #backlogBytesMax: number;
  /** TLS tells later that a write is done, in any case. */
  readonly #isEncrypted: boolean;
  #immediate: NodeJS.Immediate | undefined;
  /** Whether the engine was told to wait. */
  #waiting = false;
  #over = false;

  constructor(options: TurnWriterOptions) {
    this.#options = options;
    this.output = options.output;
    this.#socket = options.socket;
    this.#isEncrypted = 'encrypted' in options.socket;
    this.#backlogBytesMax = options.backlogBytesMax ?? BACKLOG_BYTES_MAX;
  }

  get writable(): boolean {
    if (!this.#over && this.output.size + this.#socket.writableLength < this.#backlogBytesMax) return true;
    this.#waiting = true;
    return false;
  }

  schedule(): void {
    if (this.#immediate !== undefined || this.#over) return;
    // Not a microtask: Node delivers each TLS record as an event of its own, with microtasks between.
    this.#immediate = setImmediate(flushTurn, this);
  }

  /** Writes at once what there is. */
  flush(): void {
    if (this.#immediate !== undefined) clearImmediate(this.#immediate);
    this.#immediate = undefined;
    if (this.#over) return;
    this.#options.onTurnEnd();
    this.#write();
    this.#wake();
  }

  /** Writes what there is and closes our half of the socket. Nothing is written afterwards. */
  end(): void {
    if (this.#over) return;
    this.flush();
    this.#stop();
    this.#socket.end();
  }

  /** Drops what there is and the socket. */
  destroy(): void {
    this.#stop();
    this.output.release(this.output.take());
    this.#socket.destroy();
  }

  #stop(): void {
    this.#over = true;
    if (this.#immediate !== undefined) clearImmediate(this.#immediate);
    this.#immediate = undefined;
  }

  #write(): void {
    const { output } = this;
    const socket = this.#socket;
    if (output.size === 0) return;
    const batch = output.take();
    if (socket.destroyed || socket.writableEnded) {
      output.release(batch);
      return;
    }
    if (socket.writableLength > 0 && batch.bytes <= COMPACTED_BYTES_MAX) {
      const compact = Buffer.concat(batch.segments, batch.bytes);
      output.release(batch);
      socket.write(compact, () => {
        this.#wake();
      });
      return;
    }
    this.#writeBatch(batch);
  }

  #writeBatch(batch: OutputBatch): void {
    const socket = this.#socket;
    const { segments } = batch;
    const last = segments.length - 1;
    const isPrompt = !this.#isEncrypted;
    if (last > 0) socket.cork();
    for (let index = 0; index <= last; index += 1) {
      const isAwaited = index === last && !isPrompt;
      socket.write(segments[index], isAwaited ? this.#written(batch) : undefined);
    }
    if (last > 0) socket.uncork();
    if (!isPrompt) return;
    // A bare socket mostly takes all at once; a callback would cost a task of its own each time.
    if (socket.writableLength === 0) this.output.release(batch);
    else socket.write(NOTHING, this.#written(batch));
  }

  #written(batch: OutputBatch): () => void {
    return () => {
      this.output.release(batch);
      this.#wake();
    };
  }

  #wake(): void {
    if (!this.#waiting || this.#over) return;
    // Half-way down, so that the engine is not woken for each small write.
    if (this.output.size + this.#socket.writableLength > this.#backlogBytesMax / 2) return;
    this.#waiting = false;
    this.#options.onWritable();
  }
}

function flushTurn(writer: TurnWriter): void {
  writer.flush();
}
