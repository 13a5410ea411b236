/** What only several observations of one endpoint show: sequences that rise, and keys that are published before use. */
import { readBundleDocument } from '../bundle/document.ts';
import { verifySvid } from '../verify/verify.ts';
import { readDocument, sequenceOf, sequenceVerdict } from './document-lines.ts';
import { type Verdict, verdict } from './line.ts';
import { type ExpectedEndpoint, type EndpointObservation, type Visit } from './observation.ts';

/** BS-10, of a sequence that was seen to be wrong; `undefined` where it was not. */
export function sequenceOverTime(later: readonly Visit[], first: Visit): Verdict | undefined {
  let previous = first;
  for (const visit of later) {
    const [before, after] = [bodyOf(previous), bodyOf(visit)];
    if (before === undefined || after === undefined) continue;
    const [old, young] = [readDocument(before), readDocument(after)];
    if (typeof old === 'string' || typeof young === 'string') continue;
    const bad = sequenceVerdict(young);
    if (bad.outcome === 'fail') return bad;
    const [from, to] = [sequenceOf(old), sequenceOf(young)];
    previous = visit;
    if (from === undefined || to === undefined) continue;
    if (to < from) return verdict('fail', `spiffe_sequence went back from ${from} to ${to}`);
    if (to === from && Buffer.compare(before, after) !== 0)
      return verdict('fail', `the document changed and spiffe_sequence stayed ${to}`);
  }
  return undefined;
}

/** BS-16: the endpoint's own SVID is the one key that a stranger sees in use. */
export function publishedFirstVerdict(observed: EndpointObservation, first: Visit): Verdict {
  if (observed.profile === 'https_web')
    return verdict('not-applicable', 'profile https_web: no SVID of the trust domain is shown');
  if (observed.later.length === 0) return verdict('not-seen', 'one observation only: watch for longer');
  let previous = first;
  let changes = 0;
  for (const visit of observed.later) {
    if (vouches(visit, visit, observed) && vouches(previous, previous, observed)) {
      if (!vouches(previous, visit, observed))
        return verdict('fail', 'an SVID was shown whose authority was not in the document before it');
      if (Buffer.compare(bodyOf(previous) ?? Buffer.of(), bodyOf(visit) ?? Buffer.of()) !== 0) changes += 1;
    }
    previous = visit;
  }
  if (changes === 0) return verdict('not-seen', `${observed.later.length + 1} observations, no change of the document`);
  return verdict('pass', `${changes} changes of the document, each SVID vouched for by the document before it`);
}

/** Whether the document of `served` vouches for the chain of `shown`. */
function vouches(served: Visit, shown: Visit, { trustDomain, nowMs }: ExpectedEndpoint): boolean {
  const body = bodyOf(served);
  if (body === undefined || shown.chain.kind === 'failed') return false;
  try {
    const { bundle } = readBundleDocument(body, trustDomain);
    const trust = { bundles: new Map([[trustDomain, bundle]]), tainted: new Set<string>() };
    return verifySvid({ chain: shown.chain.value, trust, role: 'server', nowMs }).kind === 'verified';
  } catch {
    return false;
  }
}

function bodyOf({ answer }: Visit): Uint8Array | undefined {
  return answer.kind === 'done' && answer.value.status === 200 ? answer.value.body : undefined;
}
