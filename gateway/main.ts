/** The entry: the process's streams, environment and signals, handed to the command line. */
import { randomInt } from 'node:crypto';
import { extname, join } from 'node:path';

import { createLog, type LogRoot } from '../base/log.ts';
import { systemClock } from '../base/clock.ts';
import { JumpgateError, messageOf } from '../base/errors.ts';
import { createRuntimeDirectory } from '../federation/peering/runtime-directory.ts';
import { loadResources } from '../federation/resources/load.ts';
import { type startGateway as StartGateway } from './app.ts';
import { type DemoOptions, type RunOptions } from './cli/io.ts';
import { runCli } from './cli/main.ts';
import { type runDemo as RunDemo } from './demo/demo.ts';
import { ACTIVATION_VARIABLES, activatedSockets, type ActivatedSocket } from './process/activation.ts';
import { connectionRoom, descriptorLimit } from './process/descriptors.ts';
import { Primary } from './process/primary.ts';
import { untilStopped } from './process/signals.ts';
import { type ChildProgram } from './process/supervised-child.ts';

const RANDOM_STEPS = 2 ** 32;
/** SPIFFE Workload Endpoint §4: where the Workload API is, when no configuration says so. */
const ENDPOINT_SOCKET = 'SPIFFE_ENDPOINT_SOCKET';

// Whoever read our output has gone (`| head`): there is nobody left to tell, and it is no reason to crash.
process.stdout.on('error', () => undefined);

process.exitCode = await runCli(
  process.argv.slice(2),
  { stdout: process.stdout, stderr: process.stderr, stdin: process.stdin, env: process.env, cwd: process.cwd() },
  { clock: systemClock, run, demo },
);

/** `jumpgate run`: serves until SIGTERM or SIGINT, then drains. */
async function run(options: RunOptions): Promise<number> {
  const log = createLog({
    level: options.logLevel ?? 'info',
    write: (line) => void process.stderr.write(line),
    now: () => systemClock.now(),
  });
  try {
    const activated = activatedSockets(process.env, process.pid);
    const loaded = await loadResources(options.directory);
    // What is wrong with the documents is said where they are read for good.
    const inOne = loaded.kind === 'problems' || loaded.set.mesh.spec.workers === 0;
    return await (inOne ? runInOne(options, log, activated) : runInSeveral(options, log, activated));
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    return 2;
  }
}

async function demo({ once }: DemoOptions): Promise<number> {
  // Loaded where they are needed: a primary is a small process, and so is a command that only asks.
  const { runDemo }: { readonly runDemo: typeof RunDemo } = await import('./demo/demo.ts');
  return runDemo({ once, stdout: process.stdout, clock: systemClock });
}

async function runInOne(options: RunOptions, log: LogRoot, activated: readonly ActivatedSocket[]): Promise<number> {
  if (activated.length > 0) {
    const message = 'socket activation: expected workers of 1 or more, found workers: 0, which binds for itself';
    throw new JumpgateError('activation-mismatch', message, { source: 'config' });
  }
  const { startGateway }: { readonly startGateway: typeof StartGateway } = await import('./app.ts');
  const gateway = await startGateway({
    ...options,
    endpointSocket: process.env[ENDPOINT_SOCKET],
    clock: systemClock,
    log,
    accessLog: process.stdout,
  });
  await untilStopped({ onHangUp: () => gateway.hangUp() });
  await gateway.stop();
  return 0;
}

async function runInSeveral(
  { directory, logLevel }: RunOptions,
  log: LogRoot,
  activated: readonly ActivatedSocket[],
): Promise<number> {
  await using runtime = await createRuntimeDirectory();
  const primary = new Primary({
    control: program(
      'control-process',
      directory,
      logLevel ?? '',
      runtime.directory,
      process.env[ENDPOINT_SOCKET] ?? '',
    ),
    worker: (index, workers) => program('worker-process', String(index), String(workers), runtime.directory),
    activated,
    room: connectionRoom(descriptorLimit()),
    clock: systemClock,
    log,
    random: () => randomInt(RANDOM_STEPS) / RANDOM_STEPS,
  });
  const stopped = untilStopped({ onHangUp: () => primary.hangUp() }).then(() => primary.stop());
  return await Promise.race([primary.ended, stopped]);
}

/** A program beside this one: `.ts` in a checkout, `.js` in a package. */
function program(name: string, ...args: readonly string[]): ChildProgram {
  const activation = new Set<string>(ACTIVATION_VARIABLES);
  return {
    entry: join(import.meta.dirname, 'process', `${name}${extname(import.meta.filename)}`),
    args,
    execArgv: process.execArgv,
    environment: Object.fromEntries(Object.entries(process.env).filter(([key]) => !activation.has(key))),
  };
}
