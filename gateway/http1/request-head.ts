/** Makes a request of its lines (RFC 9112 §3, §6), refusing whatever two readers could understand in two ways. */
import { Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { field, fieldName } from '../message/names.ts';
import { type EarlyReason } from '../message/stream.ts';
import { type ConnectionOptions, listMembers, NO_OPTIONS, parseConnection } from './connection-options.ts';
import { parseContentLength } from './content-length.ts';
import { type FieldLine, KIND } from './field-line.ts';
import { isAuthority, type StartLine } from './start-line.ts';
import { isWebSocketKey } from './web-socket.ts';

/** Length of a chunked body in place of a number of bytes. */
export const CHUNKED = -1;

/** Length of a body that ends with its connection. */
export const UNTIL_CLOSE = -2;

/** A request with what the connection has to know of it. */
export interface ReadRequest {
  readonly head: RequestHead;
  /** The method as it came: WebSocket's GET stands in the head as CONNECT. */
  readonly method: string;
  readonly minor: number;
  /** Bytes of the body, or {@link CHUNKED}. */
  readonly length: number;
  readonly keepAlive: boolean;
  /** Waits for 100 (Continue). */
  readonly expects: boolean;
  /** The key of a WebSocket handshake, else empty. */
  readonly webSocketKey: string;
}

/** A request that is refused, with what could be read of it. */
export interface BadRequest {
  readonly reason: EarlyReason;
  readonly head: Partial<RequestHead>;
}

/** What requests are read with. */
export interface RequestHeadOptions {
  readonly scheme: Field;
  /** Whether targets in absolute form are taken; their authority then counts, whatever Host says (RFC 9112 §3.2.2). */
  readonly allowAbsoluteForm: boolean;
}

/** What stands in a head, field by field. */
interface Collected {
  hosts: number;
  host: FieldLine | undefined;
  length: number;
  codings: number;
  coding: string;
  connection: ConnectionOptions;
  upgrade: string;
  expect: string;
  trailers: boolean;
  key: string;
  keys: number;
  problem: EarlyReason | undefined;
}

const AUTHORITY_NAME = fieldName(':authority');
const NO_AUTHORITY = field(':authority', '');
const CONNECT = field(':method', 'CONNECT');
const TE_TRAILERS = field('te', 'trailers');
const WEB_SOCKET = field(':protocol', 'websocket');

/** Stands for a request that could not be read. */
export const UNREAD_REQUEST: ReadRequest = {
  head: {
    method: field(':method', ''),
    path: field(':path', ''),
    authority: field(':authority', ''),
    scheme: field(':scheme', ''),
    protocol: undefined,
    fields: [],
  },
  method: '',
  minor: 1,
  length: 0,
  keepAlive: false,
  expects: false,
  webSocketKey: '',
};

/** Reads the head of a request whose request line was understood. */
export function readRequestHead(
  start: StartLine,
  lines: readonly FieldLine[],
  options: RequestHeadOptions,
): ReadRequest | BadRequest {
  const fields: Field[] = [];
  const collected = collect(lines, fields);
  const authority = authorityOf(start, collected, options);
  const known = { method: start.method, path: start.path, scheme: options.scheme, ...(authority && { authority }) };
  const reason = start.problem ?? problemOf(start, collected);
  if (reason !== undefined || authority === undefined) return { reason: reason ?? targetReason(start), head: known };
  const { connection } = collected;
  const isTunnel = asksForUpgrade(start, collected);
  if (isTunnel && collected.upgrade === 'websocket' && !isWebSocketHandshake(start, collected)) {
    return { reason: 'header-malformed', head: known };
  }
  let kept: readonly Field[] = fields;
  if (connection.named.size > 0) kept = fields.filter(({ name }) => !connection.named.has(name.text));
  if (collected.trailers) kept = [...kept, TE_TRAILERS];
  return {
    head: {
      method: isTunnel ? CONNECT : start.method,
      path: start.path,
      authority,
      scheme: options.scheme,
      protocol: isTunnel ? protocolOf(collected.upgrade) : undefined,
      fields: kept,
    },
    method: start.method.value,
    minor: start.minor,
    length: collected.codings > 0 ? CHUNKED : Math.max(0, collected.length),
    keepAlive: !connection.close && (start.minor === 1 || connection.keepAlive),
    expects: start.minor === 1 && collected.expect !== '',
    webSocketKey: isTunnel ? collected.key : '',
  };
}

function collect(lines: readonly FieldLine[], fields: Field[]): Collected {
  const collected: Collected = {
    hosts: 0,
    host: undefined,
    length: -1,
    codings: 0,
    coding: '',
    connection: NO_OPTIONS,
    upgrade: '',
    expect: '',
    trailers: false,
    key: '',
    keys: 0,
    problem: undefined,
  };
  let connection = '';
  for (const line of lines) {
    if (line.kind === KIND.ordinary || line.kind === KIND.cookie) fields.push(line.field);
    else if (line.kind === KIND.connection) connection = joined(connection, line.field.value);
    else collectSpecial(collected, line, fields);
  }
  if (connection !== '') collected.connection = parseConnection(connection);
  if (collected.connection.malformed) collected.problem = 'header-malformed';
  return collected;
}

function collectSpecial(collected: Collected, line: FieldLine, fields: Field[]): void {
  const { value } = line.field;
  switch (line.kind) {
    case KIND.host:
      collected.hosts += 1;
      collected.host = line;
      break;
    case KIND.contentLength:
      // Two of them, even equal ones, are refused: some readers take the first, some the last.
      if (collected.length >= 0 || parseContentLength(value) < 0) collected.problem = 'header-malformed';
      collected.length = Math.max(0, parseContentLength(value));
      fields.push(line.field);
      break;
    case KIND.transferEncoding:
      collected.codings += 1;
      collected.coding = value.toLowerCase();
      break;
    case KIND.upgrade:
      collected.upgrade = joined(collected.upgrade, value.toLowerCase());
      break;
    case KIND.expect:
      collected.expect = joined(collected.expect, value.toLowerCase());
      break;
    case KIND.te:
      if (listMembers(value).some((member) => /^trailers$/i.test(member))) collected.trailers = true;
      break;
    case KIND.webSocketKey:
      collected.keys += 1;
      collected.key = value;
      break;
    case KIND.webSocketAccept:
      // A server's to say, and never a client's.
      break;
    default:
      // The other kinds end here.
      break;
  }
}

function joined(before: string, value: string): string {
  return before === '' ? value : `${before}, ${value}`;
}

function problemOf(start: StartLine, collected: Collected): EarlyReason | undefined {
  const { codings, coding, expect } = collected;
  // RFC 9112 §6.1: in a message of HTTP/1.0, or beside a length, it is an attack or a fault.
  if (codings > 0 && (start.minor === 0 || collected.length >= 0)) return 'header-malformed';
  if (codings > 1) return 'header-malformed';
  if (codings === 1 && coding !== 'chunked') return codingReason(coding);
  if (collected.problem !== undefined) return collected.problem;
  if (collected.hosts > 1 || (collected.hosts === 0 && start.minor === 1)) return 'header-malformed';
  if (collected.host !== undefined && !isAuthority(collected.host.field.value)) return 'header-malformed';
  if (start.minor === 1 && expect !== '' && expect !== '100-continue') return 'expectation-unsupported';
  return undefined;
}

/** Another list of codings can be read and is not carried (RFC 9112 §6.1: 501); what is no such list, or says chunked amiss, is malformed. */
function codingReason(coding: string): EarlyReason {
  const members = coding.split(',').map((member) => member.trim());
  const isList = /^[a-z0-9!#$%&'*+.^_`|~,\t -]*$/.test(coding) && members.every((member) => /^[^\t ]+$/.test(member));
  const isKnown = members.every((member) => ['gzip', 'deflate', 'compress', 'br', 'zstd', 'chunked'].includes(member));
  const chunkedAt = members.indexOf('chunked');
  const isLastOnly = chunkedAt < 0 || chunkedAt === members.length - 1;
  return isList && isKnown && isLastOnly ? 'transfer-coding-unsupported' : 'header-malformed';
}

function authorityOf(start: StartLine, collected: Collected, options: RequestHeadOptions): Field | undefined {
  if (start.absolute !== undefined) {
    const { scheme, authority } = start.absolute;
    if (!options.allowAbsoluteForm || scheme !== options.scheme.value) return undefined;
    return new Field(AUTHORITY_NAME, authority);
  }
  const { host } = collected;
  if (host === undefined) return NO_AUTHORITY;
  host.authority ??= new Field(AUTHORITY_NAME, host.field.value);
  return host.authority;
}

function targetReason(start: StartLine): EarlyReason {
  return start.absolute === undefined ? 'header-malformed' : 'target-malformed';
}

/** Whether an Upgrade is meant and can be meant; else it is passed over as RFC 9110 §7.8 permits. */
function asksForUpgrade(start: StartLine, collected: Collected): boolean {
  if (collected.upgrade === '' || start.minor === 0 || !collected.connection.upgrade) return false;
  if (collected.codings > 0 || collected.length > 0) return false;
  // An offer of HTTP/2 is for this hop alone, and declined (h2cSmuggler).
  collected.upgrade = listMembers(collected.upgrade)
    .filter((member) => member !== 'h2c' && member !== 'h2')
    .join(', ');
  return collected.upgrade !== '';
}

function isWebSocketHandshake(start: StartLine, collected: Collected): boolean {
  return start.method.value === 'GET' && collected.keys === 1 && isWebSocketKey(collected.key);
}

function protocolOf(upgrade: string): Field {
  return upgrade === 'websocket' ? WEB_SOCKET : field(':protocol', upgrade);
}
