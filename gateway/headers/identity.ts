/** Who calls, as it is written on a link and at a service, and as it is believed from a link (wire.md, Headers). */
import { type SpiffeId, trustDomainOf, trySpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain, tryTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type HeaderField, soleValue } from '../forward/exchange.ts';
import { type ReasonCode } from '../refusal/reason.ts';

/** Meshes that a call may cross; transit is rare and a longer way is a mistake. */
const HOPS_MAX = 4;

/** The caller as named by a peer's gateway, or why it is not believed. */
export type LinkCaller =
  { readonly kind: 'caller'; readonly id: SpiffeId } | { readonly kind: 'refused'; readonly reason: ReasonCode };

/** What the origin gateway writes on a link. */
export function linkIdentity(caller: SpiffeId, own: TrustDomain): readonly HeaderField[] {
  return [
    ['jumpgate-caller', caller],
    ['jumpgate-hops', own],
  ];
}

/** Reads the caller from a link. The link proves which gateway speaks, so it is believed for its own trust domain only. */
export function readLinkCaller(headers: readonly HeaderField[], peer: TrustDomain): LinkCaller {
  const text = soleValue(headers, 'jumpgate-caller');
  const id = text === undefined ? undefined : trySpiffeId(text);
  if (id === undefined) return { kind: 'refused', reason: 'caller-missing' };
  if (trustDomainOf(id) !== peer) return { kind: 'refused', reason: 'caller-foreign' };
  return { kind: 'caller', id };
}

/** Whether the call has been here before, or has come too far. */
export function hopsProblem(headers: readonly HeaderField[], own: TrustDomain): ReasonCode | undefined {
  const hops = headers
    .filter(([name]) => name === 'jumpgate-hops')
    .flatMap(([, value]) => value.split(','))
    .map((hop) => hop.trim());
  if (hops.length > HOPS_MAX) return 'limit-hops';
  if (hops.some((hop) => tryTrustDomain(hop) === undefined)) return 'header-malformed';
  return hops.some((hop) => hop === own) ? 'loop' : undefined;
}

/** What the service sees: exactly one element, made here. A SPIFFE ID has no character that would need quoting. */
export function serviceIdentity(caller: SpiffeId, gateway: SpiffeId): HeaderField {
  return ['x-forwarded-client-cert', `By=${gateway};URI=${caller}`];
}
