/** Opens the file store in the directory given, then writes one row for ever, a line per write, until it is killed. */
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { openFileStore } from '../../base/store/files.ts';

/** Large enough that most of the time passes inside a write. */
const VALUE_CHARS = 1024 * 1024;

const store = await openFileStore({ directory: process.argv[2] ?? '', clock: systemClock, log: silentLog });
const writes = Number(process.argv[3] ?? 'Infinity');
process.stdout.write('open\n');
for (let count = 1; count <= writes; count += 1) {
  try {
    await store.put('bundles/a', `${count}:${String(count % 10).repeat(VALUE_CHARS)}`, 'any');
    process.stdout.write(`${count}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error })} ${String(error)}\n`);
  }
}
// Without this the process would end: an open store alone keeps none alive.
if (writes === 0) setInterval(() => undefined, 60_000);
else await store[Symbol.asyncDispose]();
