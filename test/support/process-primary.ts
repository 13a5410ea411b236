/** A primary whose children are stubs: run with a plan as its argument, it behaves to signals as a gateway does. */
import { join } from 'node:path';

import { asRecord } from '../../base/brand.ts';
import { systemClock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { createLog } from '../../base/log.ts';
import { ACTIVATION_VARIABLES, activatedSockets } from '../../gateway/process/activation.ts';
import { type WantedListener } from '../../gateway/process/channel.ts';
import { connectionRoom, descriptorLimit } from '../../gateway/process/descriptors.ts';
import { Primary } from '../../gateway/process/primary.ts';
import { untilStopped } from '../../gateway/process/signals.ts';
import { type ChildProgram } from '../../gateway/process/supervised-child.ts';

/** What the stub of control asks for. */
export interface ProcessPlan {
  readonly listeners: readonly WantedListener[];
  readonly workers: number;
  readonly drainMs: number;
  /** Workers from this index on end as soon as they start. */
  readonly brokenFrom?: number;
}

const CHILD = join(import.meta.dirname, 'process-child.ts');

if (import.meta.main) await main();

async function main(): Promise<void> {
  const argument = process.argv[2] ?? '{}';
  const brokenFrom = Number(asRecord(JSON.parse(argument))?.['brokenFrom'] ?? 1_000);
  const activation = new Set<string>(ACTIVATION_VARIABLES);
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !activation.has(name)));
  const program = (...args: string[]): ChildProgram => ({
    entry: CHILD,
    args,
    execArgv: process.execArgv,
    environment,
  });
  const log = createLog({
    level: 'info',
    write: (line) => void process.stderr.write(line),
    now: () => systemClock.now(),
  });
  try {
    const primary = new Primary({
      control: program('control', argument),
      worker: (index) =>
        index < brokenFrom ? program('worker', String(index)) : { ...program(), entry: join(CHILD, 'missing.ts') },
      activated: activatedSockets(process.env, process.pid),
      room: connectionRoom(descriptorLimit()),
      clock: systemClock,
      log,
      random: () => 0.5,
    });
    process.stdout.write(`${JSON.stringify({ primary: process.pid })}\n`);
    const stopped = untilStopped({ onHangUp: () => primary.hangUp() }).then(() => primary.stop());
    process.exitCode = await Promise.race([primary.ended, stopped]);
    process.exit();
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = 2;
  }
}
