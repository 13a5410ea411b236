/** Moves a body from one exchange to the other, chunk by chunk, no faster than the receiver takes it. */
import { type Readable, type Writable } from 'node:stream';

/** A body on its way. */
export interface Pump {
  readonly source: Readable;
  readonly sink: Writable;
  /** Asked when the source has ended: false when it did not end as it should, and the sink must not look complete. */
  readonly mayEnd: (bytes: number) => boolean;
}

/** How it ended, and the bytes that came from the source. */
export interface Pumped {
  readonly kind: 'done' | 'source-failed' | 'sink-failed';
  readonly bytes: number;
}

/**
 * Resolves when the sink has everything, or with who failed first; never rejects. Neither stream is destroyed: a Duplex
 * may still carry the other direction, so what a failure means is the caller's to say (stream.pipeline would destroy both).
 */
export function pump(options: Pump): Promise<Pumped> {
  const { source, sink, mayEnd } = options;
  return new Promise((resolve) => {
    let bytes = 0;
    let ended = false;
    const settle = (kind: Pumped['kind']): void => {
      source.off('data', onData).off('end', onEnd).off('close', onSourceClose);
      sink.off('drain', onDrain).off('finish', onFinish).off('close', onSinkClose);
      // Without its listener the source would flow into nothing; what has not left it can still go to another sink.
      if (kind === 'sink-failed' && !ended) source.pause();
      resolve({ kind, bytes });
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (sink.destroyed || sink.writableEnded) settle('sink-failed');
      else if (!sink.write(chunk)) source.pause();
    };
    const onDrain = (): void => {
      source.resume();
    };
    const onEnd = (): void => {
      ended = true;
      if (!mayEnd(bytes)) settle('source-failed');
      else if (sink.destroyed) settle('sink-failed');
      else sink.end();
    };
    const onFinish = (): void => settle(ended ? 'done' : 'sink-failed');
    const onSourceClose = (): void => {
      if (!ended) settle('source-failed');
    };
    const onSinkClose = (): void => settle(ended && sink.writableFinished ? 'done' : 'sink-failed');
    // These two stay: an 'error' without a listener would end the process. A 'close' follows each.
    source.on('error', () => undefined);
    sink.on('error', () => undefined);
    source.on('close', onSourceClose).on('end', onEnd);
    sink.on('drain', onDrain).on('finish', onFinish).on('close', onSinkClose);
    source.on('data', onData);
    if (source.isPaused()) source.resume();
    if (source.destroyed && !source.readableEnded) settle('source-failed');
    else if (sink.destroyed) settle('sink-failed');
  });
}
