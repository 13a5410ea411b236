/** The text of an invite: `jg1.` and base64url of a checksum and a JSON document (wire.md, "Invite and join"). */
import { createHash, randomBytes } from 'node:crypto';

import { asList, asRecord } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { readBundleDocument, writeBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { trustDomainOf, trySpiffeId, type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { tryTrustDomain, type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type HostPort, type PeerSpec } from '../resources/values.ts';

const PREFIX = 'jg1.';

/** Tells a token that was cut or mistyped from one that is wrong; it protects against no attacker. */
const CHECKSUM_OCTETS = 8;

/** A bundle of several RSA roots fits; the admin API takes as much. */
const TOKEN_CHARS_MAX = 256 * 1024;

/** As many as a peer row may have. */
const ADDRESSES_MAX = 64;

/** Octets of the secret: 256 bits. */
const SECRET_OCTETS = 32;

/** How one mesh describes itself to another: in an invite, and in the request that redeems it. */
export interface MeshIdentity {
  readonly trustDomain: TrustDomain;
  readonly gatewayId: SpiffeId;
  /** Where the gateway can be dialled from outside. */
  readonly addresses: readonly HostPort[];
  readonly bundleEndpoint: PeerSpec['bundleEndpoint'];
  readonly bundle: Bundle;
}

/** What an invite says. Whoever holds it can redeem it. */
export interface Invite {
  /** 32 lower-case hex digits. */
  readonly id: string;
  /** 32 octets, base64url. Never logged, never stored. */
  readonly secret: string;
  /** The name of the inviting mesh, a suggestion for the peer's name. */
  readonly mesh: string;
  readonly inviter: MeshIdentity;
  /** The one trust domain that may redeem it. */
  readonly audience: TrustDomain;
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
}

/** A new id and secret. */
export function newInviteSecret(): { readonly id: string; readonly secret: string } {
  return { id: randomBytes(16).toString('hex'), secret: randomBytes(SECRET_OCTETS).toString('base64url') };
}

/** SHA-256 of a secret, lower-case hex: all that the store ever sees of it. */
export function secretHash(secret: string): string {
  return createHash('sha256').update(secret, 'utf8').digest('hex');
}

/** The token. */
export function encodeInvite(invite: Invite): string {
  const { inviter, ...rest } = invite;
  const document = Buffer.from(JSON.stringify({ ...rest, inviter: identityDocument(inviter) }));
  return PREFIX + Buffer.concat([checksum(document), document]).toString('base64url');
}

/** Reads a token strictly; surrounding white space is what a terminal adds. Throws `invite-malformed` (source config). */
export function decodeInvite(token: string): Invite {
  const text = token.trim();
  if (text.length > TOKEN_CHARS_MAX) throw malformed(`expected at most ${TOKEN_CHARS_MAX} characters, found more`);
  if (!text.startsWith(PREFIX)) throw malformed(`expected a token that starts with ${PREFIX}, found another start`);
  const encoded = text.slice(PREFIX.length);
  const octets = Buffer.from(encoded, 'base64url');
  if (octets.toString('base64url') !== encoded)
    throw malformed('expected base64url after the prefix, found other characters');
  const document = octets.subarray(CHECKSUM_OCTETS);
  if (!checksum(document).equals(octets.subarray(0, CHECKSUM_OCTETS))) {
    throw malformed('its checksum does not fit: it was cut or altered on its way, copy it again as a whole');
  }
  return inviteOf(document);
}

/** The JSON value of an identity; the bundle is a string that holds its SPIFFE document. */
export function identityDocument(identity: MeshIdentity): Readonly<Record<string, unknown>> {
  const { trustDomain, gatewayId, addresses, bundleEndpoint, bundle } = identity;
  return { trustDomain, gatewayId, addresses, bundleEndpoint, bundle: writeBundleDocument(bundle) };
}

/** Reads {@link identityDocument}. Throws `identity-malformed` (source peer) or `bundle-malformed`. */
export function readIdentity(value: unknown): MeshIdentity {
  const { trustDomain, gatewayId, addresses, bundleEndpoint, bundle } = asRecord(value) ?? {};
  const domain = typeof trustDomain === 'string' ? tryTrustDomain(trustDomain) : undefined;
  if (domain === undefined) throw wrong('a trust domain');
  const id = idOf(gatewayId, domain, 'gatewayId');
  if (typeof bundle !== 'string') throw wrong('a bundle document');
  const read = readBundleDocument(bundle, domain).bundle;
  if (read.x509Authorities.length === 0) throw wrong('a bundle with at least one X.509 authority');
  const endpoint = endpointOf(bundleEndpoint, domain);
  return {
    trustDomain: domain,
    gatewayId: id,
    addresses: addressesOf(addresses),
    bundleEndpoint: endpoint,
    bundle: read,
  };
}

function inviteOf(document: Uint8Array): Invite {
  try {
    const { id, secret, mesh, inviter, audience, expiresAtMs } = asRecord(parseJson(document)) ?? {};
    if (typeof id !== 'string' || !/^[0-9a-f]{32}$/.test(id)) throw wrong('an id of 32 hex digits');
    if (typeof secret !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(secret)) throw wrong('a secret of 32 octets');
    if (typeof mesh !== 'string' || mesh.length > 63) throw wrong('the name of a mesh');
    const domain = typeof audience === 'string' ? tryTrustDomain(audience) : undefined;
    if (domain === undefined) throw wrong('an audience');
    if (typeof expiresAtMs !== 'number' || !Number.isSafeInteger(expiresAtMs)) throw wrong('an expiry');
    return { id, secret, mesh, inviter: readIdentity(inviter), audience: domain, expiresAtMs };
  } catch (cause) {
    if (!(cause instanceof JumpgateError)) throw cause;
    throw malformed(cause.message, cause);
  }
}

function addressesOf(value: unknown): readonly HostPort[] {
  const list = asList(value);
  if (list === undefined || list.length > ADDRESSES_MAX) throw wrong(`a list of at most ${ADDRESSES_MAX} addresses`);
  return list.map((item) => {
    const { host, port } = asRecord(item) ?? {};
    const legal = typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535;
    if (typeof host !== 'string' || !/^[A-Za-z0-9._:-]{1,253}$/.test(host) || !legal)
      throw wrong('addresses of host and port');
    return { host, port };
  });
}

function endpointOf(value: unknown, domain: TrustDomain): PeerSpec['bundleEndpoint'] {
  const { kind, url, spiffeId } = asRecord(value) ?? {};
  if (kind === 'link') return { kind };
  const sound = typeof url === 'string' && url.length <= 2048 && url.startsWith('https://');
  if (kind === 'https_web' && sound) return { kind, url };
  if (kind !== 'https_spiffe' || !sound) {
    throw wrong('a bundle endpoint: link, or a URL of profile https_spiffe or https_web');
  }
  return { kind, url, spiffeId: idOf(spiffeId, domain, 'bundleEndpoint.spiffeId') };
}

function idOf(value: unknown, domain: TrustDomain, member: string): SpiffeId {
  const id = typeof value === 'string' ? trySpiffeId(value) : undefined;
  if (id === undefined || trustDomainOf(id) !== domain) throw wrong(`${member} in ${domain}`);
  return id;
}

function checksum(document: Uint8Array): Buffer {
  return createHash('sha256').update(document).digest().subarray(0, CHECKSUM_OCTETS);
}

function wrong(expected: string): JumpgateError {
  return new JumpgateError('identity-malformed', `expected ${expected}, found something else`, { source: 'peer' });
}

function malformed(problem: string, cause?: unknown): JumpgateError {
  return new JumpgateError('invite-malformed', `malformed invite: ${problem}`, { source: 'config', cause });
}
