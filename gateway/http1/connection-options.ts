/** The Connection field (RFC 9110 §7.6.1): what it says of the connection, and which fields end here. */
import { isToken } from './field-line.ts';

/** What the Connection fields of a head say. */
export interface ConnectionOptions {
  readonly close: boolean;
  readonly keepAlive: boolean;
  readonly upgrade: boolean;
  /** Fields that belong to this connection; never those that frame or route the message. */
  readonly named: ReadonlySet<string>;
  /** A member is no token. */
  readonly malformed: boolean;
}

const NONE: ReadonlySet<string> = new Set();

/** No Connection field. */
export const NO_OPTIONS: ConnectionOptions = {
  close: false,
  keepAlive: false,
  upgrade: false,
  named: NONE,
  malformed: false,
};

const KEEP_ALIVE: ConnectionOptions = { ...NO_OPTIONS, keepAlive: true };
const CLOSE: ConnectionOptions = { ...NO_OPTIONS, close: true };

/** Members that name no field to drop: options, and fields that no one may take out this way. */
const NOT_FIELDS = new Set(['close', 'keep-alive', 'upgrade', 'te', 'host', 'content-length', 'transfer-encoding']);

/** Reads the value of a Connection field, or of several joined with commas. */
export function parseConnection(value: string): ConnectionOptions {
  const lower = value.toLowerCase();
  if (lower === 'keep-alive') return KEEP_ALIVE;
  if (lower === 'close') return CLOSE;
  const members = listMembers(lower);
  const named = members.filter((member) => !NOT_FIELDS.has(member));
  return {
    close: members.includes('close'),
    keepAlive: members.includes('keep-alive'),
    upgrade: members.includes('upgrade'),
    named: named.length === 0 ? NONE : new Set(named),
    malformed: !members.every(isToken),
  };
}

/** Members of a comma-separated list without white space around them; empty ones are passed over (RFC 9110 §5.6.1.2). */
export function listMembers(value: string): readonly string[] {
  return value
    .split(',')
    .map((member) => member.replace(/^[ \t]+|[ \t]+$/g, ''))
    .filter((member) => member !== '');
}
