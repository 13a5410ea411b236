/** The first line of a request (RFC 9112 §3), and the authority that a request is for. */
import { Field } from '../message/field.ts';
import { isMethod } from '../message/method.ts';
import { fieldName } from '../message/names.ts';
import { type EarlyReason } from '../message/stream.ts';

/** A request line. Its fields are shared by all requests of a connection that begin with it. */
export interface StartLine {
  readonly method: Field;
  readonly path: Field;
  /** What an absolute-form target names, as `scheme://authority`; `undefined` for the other forms. */
  readonly absolute: { readonly scheme: string; readonly authority: string } | undefined;
  /** 0 for HTTP/1.0, 1 for HTTP/1.1. */
  readonly minor: number;
  /** Why it is refused, although it can be read. */
  readonly problem: EarlyReason | undefined;
}

const VERSION = /^HTTP\/([0-9])\.([0-9])$/;

/** Visible ASCII without the `#` that starts a fragment, which is never sent (RFC 9112 §3.2.1). */
const ORIGIN_FORM = /^\/[\x21\x22\x24-\x7e]*$/;

const ABSOLUTE_FORM = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)((?:[/?][\x21\x22\x24-\x7e]*)?)$/;

/** A registered name or an address, and a port; never user information. */
const AUTHORITY = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::([0-9]{1,5}))?$/;

const METHOD_NAME = fieldName(':method');
const PATH_NAME = fieldName(':path');

/** Whether `text` is a host with or without port (RFC 9110 §7.2). */
export function isAuthority(text: string): boolean {
  const match = AUTHORITY.exec(text);
  return match !== null && Number(match[1] ?? 0) <= 65_535;
}

/** Reads a request line; `undefined` when it is none. */
export function parseStartLine(line: string, targetBytesMax: number): StartLine | undefined {
  const first = line.indexOf(' ');
  const last = line.lastIndexOf(' ');
  if (first < 1 || last === first) return undefined;
  const method = line.slice(0, first);
  const target = line.slice(first + 1, last);
  const version = VERSION.exec(line.slice(last + 1));
  if (version === null || !isMethod(method)) return undefined;
  const minor = Number(version[2]);
  const read = { method: new Field(METHOD_NAME, method), path: new Field(PATH_NAME, target), minor };
  if (target.length > targetBytesMax) return { ...read, absolute: undefined, problem: 'limit-target' };
  if (!/^[\x21-\x7e]+$/.test(target)) return undefined;
  if (version[1] !== '1' || minor > 1) return { ...read, absolute: undefined, problem: 'version-unsupported' };
  return { ...read, ...parseTarget(method, target) };
}

function parseTarget(method: string, target: string): Pick<StartLine, 'path' | 'absolute' | 'problem'> {
  const path = new Field(PATH_NAME, target);
  if (method === 'CONNECT') return { path, absolute: undefined, problem: 'method-unsupported' };
  if (ORIGIN_FORM.test(target)) return { path, absolute: undefined, problem: undefined };
  if (target === '*') {
    return { path, absolute: undefined, problem: method === 'OPTIONS' ? undefined : 'target-malformed' };
  }
  const match = ABSOLUTE_FORM.exec(target);
  const [, scheme = '', authority = '', rest = ''] = match ?? [];
  if (match === null || !isAuthority(authority)) return { path, absolute: undefined, problem: 'target-malformed' };
  let origin = rest.startsWith('/') ? rest : `/${rest}`;
  // RFC 9112 §3.2.4: OPTIONS for a whole server.
  if (rest === '' && method === 'OPTIONS') origin = '*';
  return {
    path: new Field(PATH_NAME, origin),
    absolute: { scheme: scheme.toLowerCase(), authority },
    problem: undefined,
  };
}
