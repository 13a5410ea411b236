/** Calls over HTTP/2 with prior knowledge, by Node's own client. */
import http2 from 'node:http2';

/** What came of it. */
export interface Http2Answer {
  readonly headers: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: string;
  /** Of RST_STREAM; NO_ERROR if none came. */
  readonly code: number | undefined;
}

/** One HTTP/2 call on a connection of its own, as any client makes it. */
export async function callHttp2(port: number, headers: http2.OutgoingHttpHeaders, body?: string): Promise<Http2Answer> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const stream = session.request(headers, { endStream: body === undefined });
  let seen: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders = {};
  let text = '';
  stream.on('response', (fields) => (seen = fields));
  stream.on('trailers', (fields: http2.IncomingHttpHeaders) => (trailers = fields));
  stream.on('data', (data: Buffer) => (text += data.toString()));
  stream.on('error', () => undefined);
  if (body !== undefined) stream.end(body);
  await new Promise<void>((resolve) => {
    stream.once('close', () => resolve());
  });
  session.destroy();
  const code: number | undefined = stream.rstCode;
  return { headers: seen, trailers, body: text, code };
}
