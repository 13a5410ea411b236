/** What the embedded CA does about keys that are distrusted here: what such a key of its own signed is issued anew. */
import { messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';

/** Who issues, and what is distrusted. */
export interface WithdrawTaintedOptions {
  readonly ca: Pick<EmbeddedCa, 'withdraw'>;
  readonly snapshots: SnapshotSource;
  readonly log: Logger;
}

/** Withdraws what is tainted from the start, and follows the snapshots until disposed of. */
export async function withdrawTainted({ ca, snapshots, log }: WithdrawTaintedOptions): Promise<Disposable> {
  const withdraw = async (tainted: ReadonlySet<string>): Promise<void> => {
    try {
      if (tainted.size > 0) await ca.withdraw(tainted);
    } catch (error) {
      log.error('a distrusted root of ours cannot be replaced', { error: messageOf(error) });
    }
  };
  let seen = snapshots.current().tainted;
  await withdraw(seen);
  return snapshots.watch(({ tainted }) => {
    if (tainted.size === seen.size && [...tainted].every((key) => seen.has(key))) return;
    seen = tainted;
    void withdraw(tainted);
  });
}
