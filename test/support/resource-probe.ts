/** Loaded into each process of a gateway by tests: at SIGUSR2 it collects its garbage and writes down what it still holds. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { queryObjects } from 'node:v8';

/** Node does not export it, and its list of active resources leaves out those that keep no process alive. */
const Timer = setTimeout(() => undefined, 0).constructor;
/** What is counted by itself, if anything still refers to it. Counting walks the whole heap, so only workers do it. */
const COUNTED = process.argv[1]?.endsWith('/worker-process.ts') === true ? await ofWorkers() : {};

/** Requests to the system and immediates are over in a moment. */
const HANDLE = /(?:Wrap|Timeout)$/;

/** What a process says of itself. */
export interface ProbeAnswer {
  /** After a full collection: the heap in use, and what buffers hold outside of it. */
  readonly heldBytes: number;
  /** Live handles and timers, by Node's names. */
  readonly active: Readonly<Record<string, number>>;
  /** Of a worker: live objects by class. */
  readonly objects: Readonly<Record<string, number>>;
}

const directory = process.env['JUMPGATE_TEST_PROBE'];
if (directory !== undefined) process.on('SIGUSR2', () => answer(directory));

function answer(into: string): void {
  // Twice: what finalizers let go is only free the second time.
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  const active: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) if (HANDLE.test(kind)) active[kind] = (active[kind] ?? 0) + 1;
  const objects = Object.fromEntries(
    Object.entries(COUNTED).map(([name, kind]) => [name, queryObjects(kind, { format: 'count' })]),
  );
  const said: ProbeAnswer = { heldBytes: heapUsed + external, active, objects };
  const path = join(into, String(process.pid));
  writeFileSync(`${path}.new`, JSON.stringify(said));
  renameSync(`${path}.new`, `${path}.json`);
}

/** A worker loads these in any case; to the start of the others they would add a lot. */
async function ofWorkers(): Promise<Readonly<Record<string, NewableFunction>>> {
  const { Call } = await import('../../gateway/forward/call.ts');
  const { Stream } = await import('../../gateway/http2/stream.ts');
  const { Tunnel } = await import('../../gateway/tcp/tunnel.ts');
  return { Timer, Stream, Call, Tunnel };
}
