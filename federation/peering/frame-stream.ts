/** A control stream as the session's owner sees it, over whatever duplex of messages carries it. */
import { decodeFrame, encodeFrame, type Frame } from './frame.ts';

/** Frames both ways. */
export interface FrameStream {
  /** What the peer sends, unknown kinds left out; ends when the peer ends, throws when the stream breaks or a frame is malformed. */
  readonly frames: AsyncIterable<Frame>;
  /** Resolves when the stream can take more; rejects when it is broken. */
  send(frame: Frame): Promise<void>;
  /** No more from us; what was sent still arrives. */
  end(): void;
  /** Cuts the stream. */
  destroy(): void;
}

/** What is needed of a duplex object stream of messages (the types of grpc-js's streams are not quite node's). */
export interface MessageDuplex {
  readonly destroyed: boolean;
  readonly writableEnded: boolean;
  on(event: 'error', listener: () => void): unknown;
  once(event: 'close', listener: () => void): unknown;
  off(event: 'close', listener: () => void): unknown;
  iterator(options: { readonly destroyOnReturn: boolean }): AsyncIterable<unknown>;
  write(message: Buffer, done: (error?: Error | null) => void): unknown;
  end(): unknown;
}

/** Frames over an object stream of encoded messages, as grpc-js has it on both sides. `cut` ends it at once. */
export function frameStream(duplex: MessageDuplex, cut: () => void): FrameStream {
  // The reader and the writers tell of failures; this listener only keeps a late one from crashing the process.
  duplex.on('error', () => undefined);
  return {
    frames: framesOf(duplex),
    send: (frame) =>
      new Promise((resolve, reject) => {
        if (duplex.destroyed || duplex.writableEnded) {
          reject(new Error('the stream is over'));
          return;
        }
        const onClose = (): void => reject(new Error('the stream is over'));
        duplex.once('close', onClose);
        duplex.write(encodeFrame(frame), (error) => {
          duplex.off('close', onClose);
          if (error) reject(error);
          else resolve();
        });
      }),
    end: () => {
      if (!duplex.destroyed && !duplex.writableEnded) duplex.end();
    },
    destroy: cut,
  };
}

async function* framesOf(duplex: MessageDuplex): AsyncGenerator<Frame> {
  for await (const message of duplex.iterator({ destroyOnReturn: false })) {
    if (!(message instanceof Uint8Array)) continue;
    const frame = decodeFrame(message);
    if (frame !== undefined) yield frame;
  }
}
