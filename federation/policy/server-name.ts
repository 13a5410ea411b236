/** Names that a tls export serves: exact host names, or one leading `*.` that stands for exactly one label. */

/** So many names of one export: they cross in one catalogue entry. */
export const SERVER_NAMES_MAX = 16;

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** RFC 1035 §2.3.4. */
const NAME_OCTETS_MAX = 253;

/** What is wrong with a name as written, or `undefined`. */
export function serverNameProblem(name: string): string | undefined {
  if (name.length > NAME_OCTETS_MAX) return `longer than ${NAME_OCTETS_MAX} octets`;
  const wildcard = name.startsWith('*.');
  const labels = name.slice(wildcard ? 2 : 0).split('.');
  if (labels.some((label) => label.includes('*'))) return 'a wildcard is the whole first label';
  if (!labels.every((label) => LABEL.test(label))) return 'expected labels of a-z, 0-9 and "-", in lower case';
  // RFC 1123 §2.1: were the last label a number, readers would take the name for an address.
  if (/^\d+$/.test(labels.at(-1) ?? '')) return 'its last label is a number, as in an IP address';
  // `*.example` would stand for every name below a top-level domain.
  if (wildcard && labels.length < 2) return 'expected at least two labels after "*."';
  return undefined;
}

/** Whether a ClientHello's `name` (lower-case) is among `names`. A malformed one of these matches nothing. */
export function servesName(names: readonly string[], name: string): boolean {
  const dot = name.indexOf('.');
  const below = dot < 1 ? undefined : `*${name.slice(dot)}`;
  return names.some((each) => (each === name || each === below) && serverNameProblem(each) === undefined);
}
