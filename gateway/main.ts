/** The entry: the process's streams, environment and signals, handed to the command line. */
import { createLog } from '../base/log.ts';
import { systemClock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { startGateway } from './app.ts';
import { type RunOptions } from './cli/io.ts';
import { runCli } from './cli/main.ts';
import { runDemo } from './demo/demo.ts';
import { untilStopped } from './process/signals.ts';

// Whoever read our output has gone (`| head`): there is nobody left to tell, and it is no reason to crash.
process.stdout.on('error', () => undefined);

process.exitCode = await runCli(
  process.argv.slice(2),
  { stdout: process.stdout, stderr: process.stderr, stdin: process.stdin, env: process.env, cwd: process.cwd() },
  { clock: systemClock, run, demo: ({ once }) => runDemo({ once, stdout: process.stdout, clock: systemClock }) },
);

/** `jumpgate run`: serves until SIGTERM or SIGINT, then drains. */
async function run({ directory, logLevel }: RunOptions): Promise<number> {
  const log = createLog({
    level: logLevel ?? 'info',
    write: (line) => void process.stderr.write(line),
    now: () => systemClock.now(),
  });
  try {
    const gateway = await startGateway({ directory, logLevel, clock: systemClock, log, accessLog: process.stdout });
    await untilStopped({ onHangUp: () => gateway.hangUp() });
    await gateway.stop();
    return 0;
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    return 2;
  }
}
