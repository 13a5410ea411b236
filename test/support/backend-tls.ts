/** TLS to backends, for rigs: the real one, with an SVID or without any. */
import { type Clock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { ReplaceableSnapshot } from '../../federation/snapshot/source.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { BackendTls } from '../../gateway/routing/backend-tls.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { euSnapshot } from './forward-snapshots.ts';

/** A source that nobody is expected to ask. */
export const NO_SVID: SvidSource = {
  current: () => {
    throw new Error('no svid is needed');
  },
  watch: () => ({ [Symbol.dispose]: () => undefined }),
};

/** Of a gateway whose backends are dialled in the clear, unless told otherwise. */
export function backendTls(
  clock: Clock,
  svid: SvidSource = NO_SVID,
  snapshots: SnapshotSource = new ReplaceableSnapshot(euSnapshot([])),
): BackendTls {
  return new BackendTls({ snapshots, svid, clock, log: silentLog });
}
