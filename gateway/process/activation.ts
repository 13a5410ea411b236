/** Listening sockets that a service manager hands over at start (sd_listen_fds(3)), so that they outlive this process. */
import { JumpgateError } from '../../base/errors.ts';

/** An inherited listening socket. */
export interface ActivatedSocket {
  /** `FileDescriptorName=` of the socket unit: the name of one of our listeners. */
  readonly name: string;
  readonly fd: number;
}

/** The variables of the protocol; children must not inherit them. */
export const ACTIVATION_VARIABLES = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID'] as const;

/** SD_LISTEN_FDS_START. */
const FIRST_FD = 3;
/** A gateway has a handful of listeners; far more is another program's environment. */
const SOCKETS_MAX = 64;
/** systemd.socket(5), FileDescriptorName=: at most 255 printable ASCII characters without a colon. */
const NAME = /^[\x20-\x39\x3b-\x7e]{1,255}$/;

/**
 * Reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES; empty when there are none or they are meant for another process.
 * Throws `activation-malformed` (source config) for everything that does not fit, since a socket that is silently left
 * out would be bound anew and lose what waits in it.
 */
export function activatedSockets(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): readonly ActivatedSocket[] {
  const { LISTEN_PID: meant, LISTEN_FDS: count, LISTEN_FDNAMES: joined } = environment;
  if (meant === undefined && count === undefined) return [];
  if (meant === undefined || !/^[1-9]\d{0,9}$/.test(meant))
    throw malformed(`LISTEN_PID to be a process id, found ${shown(meant)}`);
  if (Number(meant) !== pid) return [];
  if (count === undefined || !/^[1-9]\d?$/.test(count) || Number(count) > SOCKETS_MAX)
    throw malformed(`LISTEN_FDS to be 1 to ${SOCKETS_MAX}, found ${shown(count)}`);
  if (joined === undefined)
    throw malformed('LISTEN_FDNAMES beside LISTEN_FDS: FileDescriptorName= in each socket unit');
  const names = joined.split(':');
  if (names.length !== Number(count))
    throw malformed(`as many names in LISTEN_FDNAMES as LISTEN_FDS says (${count}), found ${names.length}`);
  const seen = new Set<string>();
  return names.map((name, index) => {
    if (!NAME.test(name)) throw malformed(`a listener's name in LISTEN_FDNAMES, found ${shown(name)}`);
    if (seen.has(name))
      throw malformed(`each name once in LISTEN_FDNAMES, found ${shown(name)} again: one ListenStream= a unit`);
    seen.add(name);
    return { name, fd: FIRST_FD + index };
  });
}

function shown(value: string | undefined): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}

function malformed(expected: string): JumpgateError {
  return new JumpgateError('activation-malformed', `socket activation: expected ${expected}`, { source: 'config' });
}
