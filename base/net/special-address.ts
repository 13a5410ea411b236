/** What kind of address an IP address is, where that decides whether it may be dialled (IANA special-purpose registries). */
import { BlockList, isIP } from 'node:net';

type Range = readonly [network: string, prefix: number, what: string];

const LOOPBACK: readonly Range[] = [
  ['127.0.0.0', 8, 'loopback'],
  ['::1', 128, 'loopback'],
];

/** Addresses that no gateway has, and what they are. */
const UNUSABLE: readonly Range[] = [
  ['0.0.0.0', 8, 'unspecified'],
  ['169.254.0.0', 16, 'link-local'],
  ['100.100.100.200', 32, 'a metadata service'],
  ['168.63.129.16', 32, 'a metadata service'],
  // IETF protocol assignments (RFC 6890); Oracle's metadata service is in it.
  ['192.0.0.0', 24, 'reserved'],
  ['224.0.0.0', 4, 'multicast'],
  ['240.0.0.0', 4, 'reserved'],
  ['::', 128, 'unspecified'],
  ['fe80::', 10, 'link-local'],
  ['fec0::', 10, 'site-local'],
  ['fd00:ec2::', 32, 'a metadata service'],
  ['fd20:ce::254', 128, 'a metadata service'],
  ['ff00::', 8, 'multicast'],
  // What hides an IPv4 address: IPv4-compatible, NAT64 (RFC 6052, RFC 8215), 6to4 and Teredo.
  ['::', 96, 'a translated IPv4 address'],
  ['64:ff9b::', 96, 'a translated IPv4 address'],
  ['64:ff9b:1::', 48, 'a translated IPv4 address'],
  ['2002::', 16, 'a translated IPv4 address'],
  ['2001::', 32, 'a translated IPv4 address'],
];

/** Of networks that are not the Internet: RFC 1918, RFC 6598, RFC 4193. */
const PRIVATE: readonly Range[] = [
  ['10.0.0.0', 8, 'private'],
  ['172.16.0.0', 12, 'private'],
  ['192.168.0.0', 16, 'private'],
  ['100.64.0.0', 10, 'private'],
  ['fc00::', 7, 'private'],
];

/** Whether an IP address, with or without a zone, is one of this machine's loopback. */
export function isLoopbackAddress(ip: string): boolean {
  return kindAmong(LOOPBACK, ip) !== undefined;
}

/** What an address is that no gateway has (`link-local`, `a metadata service`, `multicast`, ...), else `undefined`. */
export function unusableAddress(ip: string): string | undefined {
  return kindAmong(UNUSABLE, ip);
}

/** `public`, `private`, `loopback`, or what {@link unusableAddress} says. */
export function addressKind(ip: string): string {
  return kindAmong([...LOOPBACK, ...UNUSABLE, ...PRIVATE], ip) ?? 'public';
}

/** Whether both are the same address, an IPv4-mapped one included. */
export function isSameAddress(ip: string, other: string): boolean {
  return inRange(withoutZone(ip), [other, isIP(other) === 4 ? 32 : 128, '']);
}

function kindAmong(ranges: readonly Range[], ip: string): string | undefined {
  const plain = withoutZone(ip);
  return ranges.find((range) => inRange(plain, range))?.[2];
}

function withoutZone(ip: string): string {
  return ip.split('%', 1)[0] ?? ip;
}

function inRange(ip: string, [network, prefix]: Range): boolean {
  const list = new BlockList();
  list.addSubnet(network, prefix, isIP(network) === 4 ? 'ipv4' : 'ipv6');
  // An IPv4-mapped IPv6 address is found by IPv4 ranges too.
  return list.check(ip, isIP(ip) === 4 ? 'ipv4' : 'ipv6');
}
