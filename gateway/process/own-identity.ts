/** What a gateway without an identity of its own does: it waits, says so, and is not ready. */
import { JumpgateError } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { type IdentitySource } from '../../trust-bundles/source/identity-source.ts';
import { type Lifecycle } from './lifecycle.ts';

/** Whom it concerns. */
export interface AwaitSvidOptions {
  readonly identity: Pick<IdentitySource, 'svid' | 'status'>;
  readonly lifecycle: Pick<Lifecycle, 'begin'>;
  readonly log: Logger;
}

/**
 * Keeps the gateway from being ready while it has no SVID, until disposed of. Its listeners are bound all the same and
 * refuse every handshake, its links are dialled as soon as there is an SVID.
 */
export function awaitSvid({ identity, lifecycle, log }: AwaitSvidOptions): Disposable {
  let waiting: Disposable | undefined;
  const look = (): void => {
    const svid = identity.svid.current();
    if (svid === undefined && waiting === undefined) {
      waiting = lifecycle.begin('svid');
      const { kind, from, problem } = identity.status();
      log.warn('no svid to show: links are neither made nor taken until there is one', {
        source: kind,
        from,
        ...(problem === undefined ? {} : { code: problem.code, reason: problem.message }),
      });
    }
    if (svid === undefined || waiting === undefined) return;
    waiting[Symbol.dispose]();
    waiting = undefined;
    log.info('an svid is here', { id: svid.id, expires: new Date(svid.notAfterMs).toISOString() });
  };
  look();
  return identity.svid.watch(look);
}

/** The bundle to show others. Throws `own-bundle-unknown` (source local, retry later) while there is none. */
export function knownBundle(identity: Pick<IdentitySource, 'bundle' | 'status'>): Bundle {
  const bundle = identity.bundle();
  if (bundle !== undefined) return bundle;
  const { from, problem } = identity.status();
  const because = problem === undefined ? '' : `: ${problem.message}`;
  const message = `expected the bundle of this mesh, ${from} has not given one yet${because}`;
  throw new JumpgateError('own-bundle-unknown', message, { source: 'local', retry: 'later' });
}
