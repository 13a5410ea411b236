/** A peer as the store keeps it, row `peers/<name>`, and its JSON. */
import { asList, asRecord } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { trustDomainOf, trySpiffeId, type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { tryTrustDomain, type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type HostPort, type PeerSpec } from './values.ts';

/** A peer that `join` (or the redeeming of an invite) or a YAML document registered. */
export interface StoredPeer {
  readonly name: string;
  readonly trustDomain: TrustDomain;
  readonly gatewayId: SpiffeId;
  readonly gateways: readonly HostPort[];
  readonly bundleEndpoint: PeerSpec['bundleEndpoint'];
  /** Milliseconds since 1970. */
  readonly joinedAtMs: number;
  /** `yaml` also for a joined peer that a YAML document has adopted: it is a peer as long as that document stands. */
  readonly source: 'join' | 'yaml';
}

/** Of the row; a newer one is refused, since what it says may matter. */
const FORMAT = 1;
/** A row is small; more addresses than this are no gateway's. */
const GATEWAYS_MAX = 64;
const ROW_BYTES_MAX = 64 * 1024;
/** Lower-case DNS label (RFC 1123 §2.1): the peer's name becomes part of host names. */
const PEER_NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** The JSON of a row. */
export function writeStoredPeer(peer: StoredPeer): string {
  const { name, trustDomain, gatewayId, bundleEndpoint, joinedAtMs, source } = peer;
  const gateways = peer.gateways.map(({ host, port }) => ({ host, port }));
  return JSON.stringify({ format: FORMAT, name, trustDomain, gatewayId, gateways, bundleEndpoint, joinedAtMs, source });
}

/** Reads a row; members that it does not know are ignored. Throws `stored-peer-malformed` (source local). */
export function readStoredPeer(text: string): StoredPeer {
  const row = asRecord(parse(text));
  if (row === undefined) throw malformed('expected a JSON object');
  if (row['format'] !== FORMAT) {
    throw malformed(`expected format ${FORMAT}, found ${shown(row['format'])}: a newer gateway may have written it`);
  }
  const { name, joinedAtMs, source } = row;
  if (typeof name !== 'string' || !PEER_NAME.test(name)) throw malformed(`expected a name, found ${shown(name)}`);
  const trustDomain = typeof row['trustDomain'] === 'string' ? tryTrustDomain(row['trustDomain']) : undefined;
  if (trustDomain === undefined) throw malformed(`expected a trust domain, found ${shown(row['trustDomain'])}`);
  const gatewayId = idOf(row['gatewayId'], 'gatewayId');
  if (trustDomainOf(gatewayId) !== trustDomain) {
    throw malformed(`expected a gateway ID of ${trustDomain}, found ${gatewayId}`);
  }
  if (typeof joinedAtMs !== 'number' || !Number.isFinite(joinedAtMs) || joinedAtMs < 0) {
    throw malformed(`expected joinedAtMs, found ${shown(joinedAtMs)}`);
  }
  if (source !== 'join' && source !== 'yaml') throw malformed(`expected source join or yaml, found ${shown(source)}`);
  const gateways = gatewaysOf(row['gateways']);
  const bundleEndpoint = endpointOf(row['bundleEndpoint'], trustDomain);
  return { name, trustDomain, gatewayId, gateways, bundleEndpoint, joinedAtMs, source };
}

function parse(text: string): unknown {
  try {
    return parseJson(text, { maxBytes: ROW_BYTES_MAX, maxDepth: 8 });
  } catch (error) {
    throw malformed('expected JSON', error);
  }
}

function gatewaysOf(value: unknown): readonly HostPort[] {
  const list = asList(value);
  if (list === undefined || list.length > GATEWAYS_MAX) {
    throw malformed(`expected a list of at most ${GATEWAYS_MAX} gateways, found ${shown(value)}`);
  }
  return list.map((item) => {
    const { host, port } = asRecord(item) ?? {};
    const legal = typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535;
    if (typeof host !== 'string' || host === '' || host.length > 253 || !legal) {
      throw malformed(`expected host and port, found ${shown(item)}`);
    }
    return { host, port };
  });
}

function endpointOf(value: unknown, trustDomain: TrustDomain): PeerSpec['bundleEndpoint'] {
  const { kind, url, spiffeId } = asRecord(value) ?? {};
  if (kind === 'link') return { kind };
  if (typeof url !== 'string' || !url.startsWith('https://')) {
    throw malformed(`expected a bundle endpoint, found ${shown(value)}`);
  }
  if (kind === 'https_web') return { kind, url };
  if (kind !== 'https_spiffe') {
    throw malformed(`expected a bundle endpoint, found ${shown(value)}`);
  }
  const id = idOf(spiffeId, 'bundleEndpoint.spiffeId');
  if (trustDomainOf(id) !== trustDomain) throw malformed(`expected an endpoint ID of ${trustDomain}, found ${id}`);
  return { kind, url, spiffeId: id };
}

function idOf(value: unknown, member: string): SpiffeId {
  const id = typeof value === 'string' ? trySpiffeId(value) : undefined;
  if (id === undefined) throw malformed(`expected a SPIFFE ID as ${member}, found ${shown(value)}`);
  return id;
}

/** Foreign content, cut so that it cannot flood a log. */
function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  return JSON.stringify(String(value).slice(0, 80));
}

function malformed(problem: string, cause?: unknown): JumpgateError {
  return new JumpgateError('stored-peer-malformed', `malformed peer row: ${problem}`, { source: 'local', cause });
}
