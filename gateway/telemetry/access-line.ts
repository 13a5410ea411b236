/** The access log's line of one call: JSON, rendered once for what calls share and checked quickly for what they do not. */
import { type CallSubjectFacts, type EndedCall } from './call-subject.ts';

/** A path may have 8 KiB; nothing in a line needs more. */
const FIELD_CHARS_MAX = 8192;
/** Stands for itself in JSON and on a terminal. */
const PLAIN = /^[ !#-[\]-~]*$/;
/**
 * JSON escapes only C0: DEL, C1, line separators and bidirectional controls also steer terminals and log viewers.
 */
const UNSAFE = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
/** The members that a subject makes, in the order of a line. */
const SUBJECT_MEMBERS = [
  'direction',
  'listener',
  'caller',
  'gateway',
  'peer',
  'export',
  'import',
  'rule',
  'origin',
] as const satisfies readonly (keyof CallSubjectFacts)[];
/** Thousandths as they follow a whole number: nothing, `.001`, …, `.01`, …, `.999`. */
const FRACTIONS: readonly string[] = Array.from({ length: 1000 }, (_, part) => String(part / 1000).slice(1));
/** Milliseconds as they end an ISO time, up to the next member. */
const MILLISECONDS: readonly string[] = Array.from(
  { length: 1000 },
  (_, part) => `.${String(part).padStart(3, '0')}Z",`,
);
/** Microseconds that are counted in 31-bit integers: half an hour, beyond which speed is no matter. */
const MICROSECONDS_MAX = 2 ** 31 - 1;

/**
 * Formats lines. It keeps pieces of the line before, since calls that end together mostly share them: time, host and
 * method, and how they ended.
 */
export class AccessLineFormat {
  #startedAtMs = Number.NaN;
  #second = Number.NaN;
  /** Up to the seconds. */
  #date = '';
  #time = '';
  #host: string | undefined;
  #method: string | undefined;
  #asked = '';
  #protocol: EndedCall['protocol'] | undefined;
  #status = 0;
  #grpcStatus = 0;
  #verdict: EndedCall['verdict'] | undefined;
  #reason: string | undefined;
  #ending = '';

  /** The line of one call, with its newline: printable, whatever a caller sent. */
  format(call: EndedCall): string {
    const { subject, startedAtMs, host, method, target } = call;
    if (startedAtMs !== this.#startedAtMs) this.#keepTime(startedAtMs);
    if (host !== this.#host || method !== this.#method) this.#keepAsked(host, method);
    if (
      call.status !== this.#status ||
      call.protocol !== this.#protocol ||
      call.grpcStatus !== this.#grpcStatus ||
      call.verdict !== this.#verdict ||
      call.reason !== this.#reason
    )
      this.#keepEnding(call);
    const query = target.indexOf('?');
    const path = query < 0 ? target : target.slice(0, query);
    const shared = (subject.line ??= subjectMembers(subject.facts));
    const start = `${this.#time}${shared},"durationMs":${milliseconds(call.durationMs)}${this.#asked}`;
    const line = `${isPlain(path) ? path : escaped(path)}${this.#ending}${call.bytesIn},"bytesOut":${call.bytesOut}}\n`;
    return start + line;
  }

  #keepTime(startedAtMs: number): void {
    const second = Math.floor(startedAtMs / 1000);
    if (second !== this.#second) {
      this.#date = `{"time":"${new Date(second * 1000).toISOString().slice(0, -'.000Z'.length)}`;
      this.#second = second;
    }
    this.#startedAtMs = startedAtMs;
    this.#time = this.#date + (MILLISECONDS[Math.floor(startedAtMs - second * 1000)] ?? '');
  }

  #keepAsked(host: string, method: string): void {
    this.#host = host;
    this.#method = method;
    this.#asked = `,"host":${quoted(host)},"method":${quoted(method)},"path":"`;
  }

  #keepEnding({ protocol, status, grpcStatus, verdict, reason }: EndedCall): void {
    this.#protocol = protocol;
    this.#status = status;
    this.#grpcStatus = grpcStatus;
    this.#verdict = verdict;
    this.#reason = reason;
    const grpc = grpcStatus < 0 ? '' : `,"grpcStatus":${grpcStatus}`;
    const why = reason === undefined ? '' : `,"reason":${quoted(reason)}`;
    this.#ending = `","protocol":"${protocol}","status":${status}${grpc},"verdict":"${verdict}"${why},"bytesIn":`;
  }
}

function subjectMembers(facts: CallSubjectFacts): string {
  const members: string[] = [];
  for (const name of SUBJECT_MEMBERS) {
    const value = facts[name];
    if (value !== undefined) members.push(`"${name}":${quoted(value)}`);
  }
  return members.join(',');
}

/** Rounded to microseconds. */
function milliseconds(durationMs: number): string {
  const us = Math.round(durationMs * 1000);
  if (us >= 0 && us <= MICROSECONDS_MAX) {
    const whole = Math.trunc(us / 1000);
    return `${whole}${FRACTIONS[us - whole * 1000] ?? ''}`;
  }
  return JSON.stringify(us / 1000);
}

function isPlain(text: string): boolean {
  return text.length <= FIELD_CHARS_MAX && PLAIN.test(text);
}

function quoted(text: string): string {
  return `"${isPlain(text) ? text : escaped(text)}"`;
}

/** Cut and escaped, without the quotes. */
function escaped(text: string): string {
  const cut = text.length > FIELD_CHARS_MAX ? `${text.slice(0, FIELD_CHARS_MAX)}…` : text;
  return JSON.stringify(cut)
    .slice(1, -1)
    .replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
