/** Which trailers cross: nothing that frames, routes, authenticates or identifies (RFC 9110 §6.5.1). */
import { type HeaderField } from '../forward/exchange.ts';
import { HEADER_BYTES_MAX, HEADER_FIELDS_MAX, blockBytes } from './limits.ts';
import { isGatewaysOwn } from './strip.ts';

/** Names that mean something only before the body. */
const HEADERS_ONLY = new Set([
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'grpc-timeout',
  'host',
  'keep-alive',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** The trailers that may go on; `undefined` when there are more than a header block may have, and the stream is to be cut. */
export function cleanTrailers(trailers: readonly HeaderField[]): readonly HeaderField[] | undefined {
  if (trailers.length > HEADER_FIELDS_MAX || blockBytes(trailers) > HEADER_BYTES_MAX) return undefined;
  return trailers.filter(
    ([name]) => !name.startsWith(':') && !name.startsWith('proxy-') && !HEADERS_ONLY.has(name) && !isGatewaysOwn(name),
  );
}
