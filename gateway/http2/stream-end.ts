/** Tells a stream that its sender ended from one that was reset with NO_ERROR, which node:http2 ends alike. */
import { type Http2Stream } from 'node:http2';

/** To be called as soon as the stream exists. The result says whether END_STREAM has been received. */
export function watchEnd(stream: Http2Stream): () => boolean {
  // Node announces a stream a turn after it began: the end may have come with the head.
  let ended = !stream.closed && stream.state.remoteClose === 1;
  const push = stream.push.bind(stream);
  // END_STREAM pushes the end before the stream is closed; a reset closes it first.
  stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && !stream.closed) ended = true;
    return push(chunk, encoding);
  };
  return () => ended;
}
