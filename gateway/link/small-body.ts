/** Reading bodies that have to be small, such as a hello or a request to join. */
import { type Readable } from 'node:stream';

import { JumpgateError } from '../../base/errors.ts';

/** The whole body. Throws `body-too-large` beyond `bytesMax`, `body-cut` when it breaks off or `signal` is aborted. */
export function readSmallBody(body: Readable, bytesMax: number, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    const settle = (outcome: () => void): void => {
      body.off('data', onData);
      body.off('end', onEnd);
      body.off('close', onCut);
      body.off('error', onCut);
      signal.removeEventListener('abort', onCut);
      body.pause();
      outcome();
    };
    const fail = (code: string, message: string): void =>
      settle(() => reject(new JumpgateError(code, message, { source: 'peer', retry: 'later' })));
    const onData = (chunk: unknown): void => {
      if (!(chunk instanceof Uint8Array)) return;
      bytes += chunk.length;
      if (bytes > bytesMax) fail('body-too-large', `expected a body of at most ${bytesMax} bytes, found more`);
      else chunks.push(chunk);
    };
    const onEnd = (): void => settle(() => resolve(Buffer.concat(chunks)));
    const onCut = (): void => fail('body-cut', 'expected a whole body, found one that broke off or took too long');
    body.on('data', onData);
    body.once('end', onEnd);
    body.once('close', onCut);
    body.on('error', onCut);
    signal.addEventListener('abort', onCut, { once: true });
    if (signal.aborted) onCut();
  });
}
