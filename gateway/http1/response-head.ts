/** Makes a response of its lines (RFC 9112 §4, §6), refusing whatever two readers could understand in two ways. */
import { type Field } from '../message/field.ts';
import { type ResponseHead } from '../message/head.ts';
import { type ConnectionOptions, NO_OPTIONS, parseConnection } from './connection-options.ts';
import { parseContentLength } from './content-length.ts';
import { type FieldLine, KIND } from './field-line.ts';
import { CHUNKED, UNTIL_CLOSE } from './request-head.ts';

/** A response with what the connection has to know of it. */
export interface ReadResponse {
  readonly head: ResponseHead;
  /** Bytes of the body, {@link CHUNKED} or {@link UNTIL_CLOSE}. */
  readonly length: number;
  readonly keepAlive: boolean;
  /** How long the server keeps the connection when it is idle, by its own account (RFC 2068 §19.7.1); -1 if it does not say. */
  readonly keepAliveMs: number;
  /** What the connection changes to, lower case. */
  readonly upgrade: string;
  readonly webSocketAccept: string;
}

/** The space before a missing reason phrase is often missing too. */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/;

const KEEP_ALIVE_TIMEOUT = /(?:^|[,\s])timeout\s*=\s*"?([0-9]{1,6})/i;

/** Whether `line` is a status line of HTTP/1.0 or HTTP/1.1. */
export function isStatusLine(line: string): boolean {
  return STATUS_LINE.test(line);
}

/** Reads the head of a response to a request with `method`; `undefined` when it is malformed. */
export function readResponseHead(
  startLine: string,
  lines: readonly FieldLine[],
  method: string,
): ReadResponse | undefined {
  const match = STATUS_LINE.exec(startLine);
  if (match === null) return undefined;
  const minor = Number(match[1]);
  const status = Number(match[2]);
  const found = collect(lines);
  if (found === undefined || found.connection.malformed) return undefined;
  const { connection, coding } = found;
  if (coding !== '' && (coding !== 'chunked' || minor === 0 || found.length >= 0)) return undefined;
  const isBodiless = method === 'HEAD' || status === 204 || status === 304 || status < 200;
  let length = coding === '' ? found.length : CHUNKED;
  if (coding === '' && found.length < 0) length = UNTIL_CLOSE;
  if (isBodiless) length = 0;
  const { named } = connection;
  return {
    head: { status, fields: named.size > 0 ? found.fields.filter(({ name }) => !named.has(name.text)) : found.fields },
    length,
    keepAlive: length !== UNTIL_CLOSE && !connection.close && (minor === 1 || connection.keepAlive),
    keepAliveMs: found.keepAliveMs,
    upgrade: connection.upgrade ? found.upgrade : '',
    webSocketAccept: found.webSocketAccept,
  };
}

interface Collected {
  readonly fields: Field[];
  length: number;
  coding: string;
  connection: ConnectionOptions;
  keepAliveMs: number;
  upgrade: string;
  webSocketAccept: string;
}

/** `undefined` when fields that frame the message contradict each other. */
function collect(lines: readonly FieldLine[]): Collected | undefined {
  const found: Collected = {
    fields: [],
    length: -1,
    coding: '',
    connection: NO_OPTIONS,
    keepAliveMs: -1,
    upgrade: '',
    webSocketAccept: '',
  };
  let connection = '';
  for (const line of lines) {
    const { value } = line.field;
    switch (line.kind) {
      case KIND.contentLength:
        if (found.length >= 0 || parseContentLength(value) < 0) return undefined;
        found.length = parseContentLength(value);
        found.fields.push(line.field);
        break;
      case KIND.transferEncoding:
        if (found.coding !== '' || value === '') return undefined;
        found.coding = value.toLowerCase();
        break;
      case KIND.connection:
        connection = connection === '' ? value : `${connection}, ${value}`;
        break;
      case KIND.keepAlive:
        found.keepAliveMs = keepAliveMsOf(value);
        break;
      case KIND.upgrade:
        found.upgrade = value.toLowerCase();
        break;
      case KIND.webSocketAccept:
        found.webSocketAccept = value;
        break;
      case KIND.ordinary:
      case KIND.cookie:
        found.fields.push(line.field);
        break;
      default:
        // Host, Expect and the like are a client's to say; the others end here.
        break;
    }
  }
  if (connection !== '') found.connection = parseConnection(connection);
  return found;
}

function keepAliveMsOf(value: string): number {
  const match = KEEP_ALIVE_TIMEOUT.exec(value);
  return match === null ? -1 : Number(match[1]) * 1_000;
}
