/** What would break if the root that is to come signed now: peers that would refuse it, and links that nobody can re-prove. */
import { type PeeringStatus } from '../../federation/peering/status.ts';
import { type LinkStatus, type RotationFinding } from '../admin/operations.ts';

/** A peer, and how it learns of a new root. */
export interface RehearsedPeer {
  readonly name: string;
  /** Its issuer polls our bundle by itself, and may have missed the published root yet. */
  readonly isAwaited: boolean;
  /** It has no gateways that could say anything. */
  readonly isAlone: boolean;
}

/** What a rehearsal looks at. */
export interface RehearsedRotation {
  readonly peers: readonly RehearsedPeer[];
  readonly peering: (peer: string) => PeeringStatus | undefined;
  readonly links: readonly LinkStatus[];
  /** Sequence of our newest bundle, with which the root to come is published, or will be. */
  readonly sequence: bigint;
  /** A root is published that signs next. */
  readonly isPublished: boolean;
}

/** Everything that would break, peers first; empty when nothing would. */
export function rehearseRotation(rotation: RehearsedRotation): readonly RotationFinding[] {
  const peers = rotation.peers.flatMap((peer) => {
    const finding = peerFinding(rotation, peer);
    return finding === undefined ? [] : [finding];
  });
  return [...peers, ...rotation.links.flatMap((link) => linkFinding(link) ?? [])];
}

function peerFinding(
  rotation: RehearsedRotation,
  { name: peer, isAwaited, isAlone }: RehearsedPeer,
): RotationFinding | undefined {
  const { sequence, isPublished } = rotation;
  const { theyHoldOurBundleSequence: held, state = 'connecting' } = rotation.peering(peer) ?? {};
  const found = (code: RotationFinding['code'], message: string): RotationFinding => ({
    peer,
    address: null,
    code,
    message,
  });
  if (isAwaited) {
    return found('bundle-behind', 'its issuer polls our bundle by itself, and five refresh hints are not over yet');
  }
  if (isAlone && held === undefined) return undefined;
  if (state !== 'active') {
    return found(
      'peer-silent',
      `its control stream is ${state}: it neither hears of a new root nor says that it holds it`,
    );
  }
  if (held === undefined) {
    return found(
      'bundle-unknown',
      'it has not said which of our bundles it holds: it may refuse what a new root signs',
    );
  }
  if (held >= sequence) return undefined;
  const last = `it last fetched sequence ${held} of our bundle, the newest is ${sequence}`;
  const effect = isPublished ? 'it would refuse all links under the new root' : 'its fetching is late';
  return found('bundle-behind', `${last}: ${effect}`);
}

function linkFinding({
  peer,
  direction,
  address,
  expiresAt,
  calls,
  reproves,
}: LinkStatus): RotationFinding | undefined {
  if (reproves) return undefined;
  const message = `the ${direction} link cannot be re-proved and is replaced; what is left of its ${calls} calls at ${expiresAt} is cut`;
  return { peer, address, code: 'link-replaced', message };
}
