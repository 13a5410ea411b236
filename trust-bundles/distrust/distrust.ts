/** What is distrusted now, as it is looked up: plain data, compiled once per change, a part of every snapshot. */
import { matchesId } from '../identity/match.ts';
import { trustDomainOf, type SpiffeId } from '../identity/spiffe-id.ts';
import { type DistrustTarget, isPattern } from './target.ts';

/** Sets of names by kind. Keys are not here: they are the `tainted` of a trust store. */
export interface Distrust {
  /** SPIFFE IDs, literally. */
  readonly ids: ReadonlySet<string>;
  /** Patterns over SPIFFE IDs; few, since each is looked at for each caller that is new. */
  readonly patterns: readonly string[];
  readonly domains: ReadonlySet<string>;
  readonly peers: ReadonlySet<string>;
  readonly exports: ReadonlySet<string>;
}

/** Everybody is trusted as far as bundles and policy go. */
export const NO_DISTRUST: Distrust = {
  ids: new Set(),
  patterns: [],
  domains: new Set(),
  peers: new Set(),
  exports: new Set(),
};

/** Compiles what is distrusted. */
export function compileDistrust(
  targets: readonly DistrustTarget[],
): Distrust & { readonly tainted: ReadonlySet<string> } {
  const named = (kind: DistrustTarget['kind']): readonly string[] =>
    targets.filter((target) => target.kind === kind && !isPattern(target)).map(({ name }) => name);
  return {
    ids: new Set(named('spiffe')),
    patterns: targets.filter(isPattern).map(({ name }) => name),
    domains: new Set(named('domain')),
    peers: new Set(named('peer')),
    exports: new Set(named('export')),
    tainted: new Set(named('key')),
  };
}

/**
 * Whether an identity is distrusted by itself or with its trust domain. Patterns are those of policy (`identity/match`):
 * reserved IDs, the gateways', are meant by their literal selves and by their domain only.
 */
export function distrustsId(distrust: Distrust, id: SpiffeId): boolean {
  const { ids, domains, patterns } = distrust;
  if (ids.has(id)) return true;
  if (domains.size > 0 && domains.has(trustDomainOf(id))) return true;
  return patterns.some((pattern) => matchesId(pattern, id));
}
