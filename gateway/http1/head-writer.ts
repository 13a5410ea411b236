/** Writes heads (RFC 9112 §3, §4) with the framing that their bodies get. */
import { type Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { type Output } from '../message/output.ts';
import { BAD_LENGTH, fieldsBound, lengthAmong, NO_LENGTH, writeField, writeFields } from './fields-writer.ts';
import { listMembers } from './connection-options.ts';
import { OCTET, writeChecked, writeText } from './octets.ts';
import { reasonPhrase } from './reason-phrase.ts';
import { CHUNKED, UNTIL_CLOSE } from './request-head.ts';
import { type Spelling } from './spelling.ts';

/** The head cannot be sent: nothing of it was written. */
export const UNWRITABLE = -3;

/** What the lines need that the engine adds to a head. */
const OWN_BYTES = 256;

/** Methods for which the lack of a body needs no Content-Length (RFC 9110 §8.6). */
const BODILESS_METHODS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT']);

/** A response as it stands on its connection. */
export interface ResponsePlan {
  readonly status: number;
  readonly fields: readonly Field[];
  /** HEAD, 204, 304 and 1xx: whatever the fields say, no body follows. */
  readonly bodiless: boolean;
  /** The response has no body although it could. */
  readonly end: boolean;
  /** 0 if the request came in HTTP/1.0. */
  readonly minor: number;
  readonly close: boolean;
  /** For a tunnel: what the connection changes to. */
  readonly upgrade: string;
  /** For a tunnel of WebSocket. */
  readonly webSocketAccept: string;
}

/** Writes the head of a response. Returns the bytes that follow, {@link CHUNKED}, {@link UNTIL_CLOSE} or {@link UNWRITABLE}. */
export function writeResponseHead(output: Output, plan: ResponsePlan): number {
  const { status, fields, bodiless } = plan;
  const given = lengthAmong(fields);
  if (given === BAD_LENGTH || (plan.end && !bodiless && given > 0)) return UNWRITABLE;
  const mayFrame = status >= 200 && status !== 204;
  let length = given;
  if (bodiless || plan.end) length = 0;
  else if (given === NO_LENGTH) length = plan.minor === 0 ? UNTIL_CLOSE : CHUNKED;
  const into = output.reserve(fieldsBound(fields) + plan.upgrade.length + OWN_BYTES);
  let at = writeStatusLine(into, output.end, status);
  at = writeFields(into, at, fields, { withLength: mayFrame, spelling: undefined });
  if (length === CHUNKED) at = writeText(into, at, 'transfer-encoding: chunked\r\n');
  else if (length === 0 && !bodiless && given === NO_LENGTH) at = writeText(into, at, 'content-length: 0\r\n');
  at = writeText(into, writeConnection(into, at, plan, length), '\r\n');
  if (at < 0) return UNWRITABLE;
  output.end = at;
  return length;
}

/** What becomes of the connection. */
function writeConnection(into: Buffer, start: number, plan: ResponsePlan, length: number): number {
  if (plan.upgrade !== '') {
    const at = writeUpgrade(into, start, plan.upgrade, undefined);
    return plan.webSocketAccept === '' ? at : writeField(into, at, 'sec-websocket-accept', plan.webSocketAccept);
  }
  if (plan.status < 200) return start;
  if (plan.close || length === UNTIL_CLOSE) return writeText(into, start, 'connection: close\r\n');
  return plan.minor === 0 ? writeText(into, start, 'connection: keep-alive\r\n') : start;
}

function writeStatusLine(into: Buffer, start: number, status: number): number {
  let at = writeText(into, start, 'HTTP/1.1 ');
  into[at] = 0x30 + Math.trunc(status / 100);
  into[at + 1] = 0x30 + (Math.trunc(status / 10) % 10);
  into[at + 2] = 0x30 + (status % 10);
  into[at + 3] = 0x20;
  at = writeText(into, at + 4, reasonPhrase(status));
  return writeText(into, at, '\r\n');
}

function writeUpgrade(into: Buffer, start: number, protocol: string, spelling: Spelling | undefined): number {
  const at = writeField(into, start, spelled('connection', spelling), 'Upgrade');
  return writeField(into, at, spelled('upgrade', spelling), protocol);
}

/** A request as it stands on its connection. */
export interface RequestPlan {
  readonly head: RequestHead;
  readonly end: boolean;
  /** The key of a WebSocket handshake, else empty. */
  readonly webSocketKey: string;
  readonly spelling: Spelling | undefined;
}

/**
 * Writes the head of a request; one with `protocol` becomes a GET with Upgrade. Returns the bytes that follow,
 * {@link CHUNKED} or {@link UNWRITABLE}.
 */
export function writeRequestHead(output: Output, plan: RequestPlan): number {
  const { head, spelling } = plan;
  const { fields, protocol } = head;
  const given = lengthAmong(fields);
  const isTunnel = protocol !== undefined;
  const method = isTunnel ? 'GET' : head.method.value;
  if (given === BAD_LENGTH || !isSendable(head) || ((plan.end || isTunnel) && given > 0)) return UNWRITABLE;
  let length = given;
  if (plan.end || isTunnel) length = 0;
  else if (given === NO_LENGTH) length = CHUNKED;
  const sizes = head.path.value.length + head.authority.value.length + head.method.value.length;
  const into = output.reserve(fieldsBound(fields) + sizes + (protocol?.value.length ?? 0) + OWN_BYTES);
  let at = writeRequestLine(into, output.end, method, head.path.value);
  at = writeField(into, at, spelled('host', spelling), head.authority.value);
  at = at < 0 ? at : writeFields(into, at, fields, { withLength: true, spelling });
  const own = ownLine(length, given, method);
  if (own !== undefined) at = writeField(into, at, spelled(own[0], spelling), own[1]);
  if (isTunnel) at = writeUpgrade(into, at, protocol.value, spelling);
  else if (asksForTrailers(fields)) at = writeTe(into, at, spelling);
  if (plan.webSocketKey !== '') at = writeField(into, at, spelled('sec-websocket-key', spelling), plan.webSocketKey);
  at = writeText(into, at, '\r\n');
  if (at < 0) return UNWRITABLE;
  output.end = at;
  return length;
}

function writeRequestLine(into: Buffer, start: number, method: string, path: string): number {
  const at = writeText(into, writeChecked(into, start, method, OCTET.token), ' ');
  return writeText(into, writeChecked(into, at, path, OCTET.visible), ' HTTP/1.1\r\n');
}

function spelled(name: string, spelling: Spelling | undefined): string {
  return spelling === undefined ? name : spelling.of(name);
}

/** What the engine says of the framing. */
function ownLine(length: number, given: number, method: string): readonly [string, string] | undefined {
  if (length === CHUNKED) return ['transfer-encoding', 'chunked'];
  if (length === 0 && given === NO_LENGTH && !BODILESS_METHODS.has(method)) return ['content-length', '0'];
  return undefined;
}

/** A target that starts otherwise, or holds a fragment, would be another form to the reader. An authority is visible. */
function isSendable({ method, path, authority, protocol }: RequestHead): boolean {
  if (method.value === '' || (method.value === 'CONNECT') !== (protocol !== undefined)) return false;
  if (!/^[\x21-\x7e]+$/.test(authority.value)) return false;
  const isStar = path.value === '*' && method.value === 'OPTIONS';
  return (path.value.startsWith('/') || isStar) && !path.value.includes('#');
}

function asksForTrailers(fields: readonly Field[]): boolean {
  for (const { name, value } of fields) {
    if (name.text.length !== 2 || name.text !== 'te') continue;
    if (listMembers(value.toLowerCase()).includes('trailers')) return true;
  }
  return false;
}

/** TE is a field of the connection, and must be named as one (RFC 9110 §10.1.4). */
function writeTe(into: Buffer, start: number, spelling: Spelling | undefined): number {
  const at = writeField(into, start, spelled('te', spelling), 'trailers');
  return writeField(into, at, spelled('connection', spelling), 'te');
}
