/** The jump port and the bundle endpoint on one address, told apart by the server name that a client asks for. */
import { isIP } from 'node:net';
import { isDeepStrictEqual } from 'node:util';

import { type MeshSpec } from './values.ts';

type Listeners = Pick<MeshSpec['listeners'], 'jump' | 'bundle'>;

/** Whether both have the same address; port 0 is another one each time. */
export function isShared({ jump, bundle }: Listeners): boolean {
  const { address } = jump;
  return address.kind === 'tcp' && address.port !== 0 && isDeepStrictEqual(address, bundle.address);
}

/** The server name of the bundle endpoint where it shares the jump port, lower case; else `undefined`. */
export function sharedServerName(listeners: Listeners): string | undefined {
  return isShared(listeners) ? hostOf(listeners) : undefined;
}

/** What is wrong with a shared port, or `undefined`. */
export function sharedPortProblem(listeners: Listeners): string | undefined {
  if (!isShared(listeners)) return undefined;
  const host = hostOf(listeners);
  const expected =
    'expected listeners.bundle.advertise with a host name of its own, since jump and bundle share a port';
  if (host === undefined || isIP(host.replace(/^\[|\]$/g, '')) !== 0) return expected;
  const taken = listeners.jump.advertise.some((each) => each.host.toLowerCase() === host);
  return taken ? `${expected}, found ${host}, which jump advertises too` : undefined;
}

function hostOf({ bundle }: Listeners): string | undefined {
  return bundle.advertise === undefined ? undefined : new URL(bundle.advertise).hostname;
}
