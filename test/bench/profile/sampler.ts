/**
 * Loaded into a gateway's processes by `--import`: a worker starts V8's sampling profiler at one SIGUSR2, and at the next
 * writes what it saw to the directory that JUMPGATE_BENCH_PROFILES names. Files are named after the process:
 * `PID.ready`, `PID.started`, `PID.cpuprofile`. Unlike `--cpu-prof` it leaves out the start and the warm-up.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { basename, join } from 'node:path';

/** A prime number of microseconds, so that samples do not keep step with what comes every millisecond. */
const INTERVAL_US = 499;

const directory = process.env['JUMPGATE_BENCH_PROFILES'];
// Only workers carry calls; each sampled process costs the core some interruptions.
if (directory !== undefined && basename(process.argv[1] ?? '').startsWith('worker-process')) sampleInto(directory);

function sampleInto(path: string): void {
  const session = new Session();
  session.connect();
  let running = false;
  const own = (kind: string): string => join(path, `${process.pid}.${kind}`);
  const onSignal = async (): Promise<void> => {
    running = !running;
    if (running) {
      await session.post('Profiler.enable');
      await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US });
      await session.post('Profiler.start');
      writeFileSync(own('started'), '');
      return;
    }
    const { profile } = await session.post('Profiler.stop');
    // Whole or not at all: the reader waits for the name.
    writeFileSync(own('part'), JSON.stringify(profile));
    renameSync(own('part'), own('cpuprofile'));
  };
  process.on('SIGUSR2', () => void onSignal());
  writeFileSync(own('ready'), '');
}
