/** Schemas of the values that several kinds share: names, addresses, files, SPIFFE IDs. */
import { isIP, isIPv4 } from 'node:net';
import { dirname, resolve } from 'node:path';
import { type Origin } from '../../base/origin.ts';
import { quote } from '../../base/config/node.ts';
import { type Decoded, parsed, type Schema, text } from '../../base/config/schema.ts';
import { trySpiffeId, trustDomainOf, isReserved } from '../../trust-bundles/identity/spiffe-id.ts';
import { checkIdPattern } from '../../trust-bundles/identity/match.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { tryTrustDomain, type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type IdPattern } from '../policy/rule.ts';
import { type HostPort } from './values.ts';

/** A value and where it was written. */
export interface Located<T> {
  readonly value: T;
  readonly origin: Origin;
}

/** Keeps the place of a value, for checks across values. */
export function located<T>(schema: Schema<T>): Schema<Located<T>> {
  return parsed(schema, (value, { origin }) => ({ value: { value, origin } }));
}

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** A DNS label: names of documents become parts of host names. */
export const dnsLabel: Schema<string> = parsed(
  text('a DNS label (1 to 63 of a-z, 0-9 and "-", not at either end)', { pattern: LABEL.source, maxLength: 63 }),
  (value, { place, node }) => (LABEL.test(value) ? { value } : place.unexpected(node, dnsLabel.expected)),
);

/** Whether a lower-case text is a host name: letters, digits, hyphens, at most 253 octets, and no IPv4 look-alike. */
export function isHostName(host: string): boolean {
  const labels = host.split('.');
  return host.length <= 253 && labels.every((label) => LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? '');
}

/** An exact host name in lower case. */
export const hostName: Schema<string> = parsed(
  text('a lower-case host name such as orders.shop.internal', { maxLength: 253 }),
  (value, { place, node }) => (isHostName(value) ? { value } : place.unexpected(node, hostName.expected)),
);

/** Splits `host:port` or `[v6]:port`; `undefined` when it is neither. */
export function splitHostPort(written: string, minPort: number): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(0|[1-9][0-9]{0,4})$/.exec(written);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port < minPort || port > 65_535) return undefined;
  const sound = match?.[1] === undefined ? isIPv4(host) || isHostName(host.toLowerCase()) : isIP(host) === 6;
  return sound ? { host, port } : undefined;
}

function hostPort(expected: string, minPort: number): Schema<HostPort> {
  return parsed(text(expected), (written, { place, node }) => {
    const value = splitHostPort(written, minPort);
    return value === undefined ? place.unexpected(node, expected) : { value };
  });
}

/** An address to dial: port 1 to 65535. */
export const dialAddress = hostPort('an address host:port, such as gw.example.org:15443 or [::1]:15443', 1);

/** An address to bind: port 0 lets the system choose. */
export const bindAddress = hostPort('an address to bind, host:port, such as 127.0.0.1:15001', 0);

/** Whether an address can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  return host === '::1' || host.toLowerCase() === 'localhost' || (isIPv4(host) && host.startsWith('127.'));
}

/** A path, made absolute relative to the directory of the file that names it. */
export function filePath(expected: string): Schema<string> {
  return parsed(text(expected), (value, { origin, problem }) => {
    if (value.includes('\0')) return problem('expected a path, found a NUL character in it');
    return { value: resolve(dirname(origin.file), value) };
  });
}

/** What `sun_path` holds on Linux without its final NUL; longer ones fail at bind. */
const SOCKET_PATH_BYTES_MAX = 107;

/** The problem of a socket path that is too long, else `undefined`. */
export function socketPathProblem(path: string): string | undefined {
  const bytes = Buffer.byteLength(path);
  if (bytes <= SOCKET_PATH_BYTES_MAX) return undefined;
  return `expected a socket path of at most ${SOCKET_PATH_BYTES_MAX} bytes, found ${bytes} in ${path}; choose a shorter directory`;
}

/** The path of a Unix socket. */
export const socketPath: Schema<string> = parsed(filePath('the path of a Unix socket'), (value, { problem }) => {
  const found = socketPathProblem(value);
  return found === undefined ? { value } : problem(found);
});

/** A trust domain. */
export const trustDomain: Schema<TrustDomain> = parsed(
  text('a trust domain such as us-east.example.org', { maxLength: 255 }),
  (written, { place, node }) =>
    orUnexpected(tryTrustDomain(written), () => place.unexpected(node, trustDomain.expected)),
);

/** A SPIFFE ID. */
export const spiffeId: Schema<SpiffeId> = parsed(
  text('a SPIFFE ID such as spiffe://us-east.example.org/ns/shop/sa/web', { maxLength: 2048 }),
  (written, { place, node }) => orUnexpected(trySpiffeId(written), () => place.unexpected(node, spiffeId.expected)),
);

/** A pattern over SPIFFE IDs. */
export const idPattern: Schema<IdPattern> = parsed(
  text('a SPIFFE ID or a pattern such as spiffe://us-east.example.org/ns/shop/sa/*', { maxLength: 2048 }),
  (value, { problem }) => {
    const found = checkIdPattern(value);
    return found === undefined ? { value } : problem(`${found} (pattern ${quote(value)})`);
  },
);

/** The problem of an id that is not of this trust domain, or reserved where only workloads may be named; else `undefined`. */
export function foreignIdProblem(id: SpiffeId, domain: TrustDomain, allowReserved: boolean): string | undefined {
  if (trustDomainOf(id) !== domain) return `expected a SPIFFE ID of trust domain ${domain}, found ${quote(id)}`;
  if (!allowReserved && isReserved(id))
    return `expected the SPIFFE ID of a workload, found ${quote(id)}: /jumpgate and below is reserved for gateways`;
  return undefined;
}

/** An https URL without credentials, query or fragment, as `new URL` writes it. */
export const httpsUrl: Schema<string> = parsed(
  text('an https URL such as https://gw.example.org:8443/'),
  (written, { place, node }) => {
    const url = URL.canParse(written) ? new URL(written) : undefined;
    const plain = url?.username === '' && url.password === '' && url.search === '' && url.hash === '';
    if (url?.protocol !== 'https:' || !plain) return place.unexpected(node, httpsUrl.expected);
    return { value: url.href };
  },
);

function orUnexpected<T>(value: T | undefined, tell: () => null): Decoded<T> {
  return value === undefined ? tell() : { value };
}
