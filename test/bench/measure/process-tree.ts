/** Processor time and memory of a process and everything that it started, by the operating system's accounts (Linux /proc). */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ is 100 on every Linux that Node runs on; /proc/PID/stat counts in it. */
const TICK_US = 10_000;
const NS_PER_US = 1_000;

/** The accounts of one process, with all its threads and its children that have ended. */
export interface ProcessAccount {
  readonly pid: number;
  /** The kernel's name of it. */
  readonly name: string;
  readonly cpuUs: number;
  readonly peakRssBytes: number;
  readonly rssBytes: number;
  /** When it started, in ticks since boot: with the pid it names the process for good. */
  readonly startedTicks: number;
}

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  /** Of all its threads, to whole ticks. */
  readonly ticksUs: number;
  /** Of its children that have ended. */
  readonly endedUs: number;
  readonly startedTicks: number;
}

/** The accounts of `pid` first, then of its descendants. Processes that end meanwhile are left out. */
export function processTree(pid: number): readonly ProcessAccount[] {
  const stats = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => statOf(Number(name)));
  const tree = stats.filter((each) => each.pid === pid);
  for (const parent of tree) tree.push(...stats.filter((each) => each.parent === parent.pid));
  return tree.flatMap(({ pid: id, name, ticksUs, endedUs, startedTicks }) => {
    const memory = memoryOf(id);
    // Threads are exact and tell nothing of those that have ended; ticks are rounded down twice and cover all: whichever
    // is more is nearer, and neither loses time.
    const cpuUs = Math.max(threadsUs(id), ticksUs) + endedUs;
    return memory === undefined ? [] : [{ pid: id, name, cpuUs, startedTicks, ...memory }];
  });
}

/** Processor microseconds of the whole tree. */
export function cpuOf(pid: number): number {
  return total(processTree(pid), ({ cpuUs }) => cpuUs);
}

/** The largest resident memory that each process of the tree has had, summed. */
export function peakRssOf(pid: number): number {
  return total(processTree(pid), ({ peakRssBytes }) => peakRssBytes);
}

/** Resident memory of the tree now. */
export function rssOf(pid: number): number {
  return total(processTree(pid), ({ rssBytes }) => rssBytes);
}

/** Resident memory of one process alone; 0 when it has ended. */
export function rssOfProcess(pid: number): number {
  return memoryOf(pid)?.rssBytes ?? 0;
}

function total(accounts: readonly ProcessAccount[], of: (account: ProcessAccount) => number): number {
  return accounts.reduce((sum, account) => sum + of(account), 0);
}

/** proc(5): the name stands in parentheses and may hold spaces; utime, stime, cutime, cstime are fields 14 to 17, starttime 22. */
function statOf(pid: number): readonly Stat[] {
  const text = readProc(`/proc/${pid}/stat`);
  if (text === undefined) return [];
  const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'));
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const usOf = (first: number): number => (Number(fields[first]) + Number(fields[first + 1])) * TICK_US;
  const times = { ticksUs: usOf(11), endedUs: usOf(13), startedTicks: Number(fields[19]) };
  return [{ pid, parent: Number(fields[1]), name, ...times }];
}

/** Of the threads that run: the first field of schedstat is nanoseconds. 0 where the kernel does not count them. */
function threadsUs(pid: number): number {
  let threads: readonly string[] = [];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    // It has ended meanwhile; ticks were read.
  }
  const ns = threads.reduce((sum, thread) => {
    const text = readProc(`/proc/${pid}/task/${thread}/schedstat`);
    return sum + (text === undefined ? 0 : Number.parseInt(text, 10));
  }, 0);
  return ns / NS_PER_US;
}

function memoryOf(pid: number): { readonly peakRssBytes: number; readonly rssBytes: number } | undefined {
  const text = readProc(`/proc/${pid}/status`);
  if (text === undefined) return undefined;
  const bytes = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
  return { peakRssBytes: bytes('VmHWM'), rssBytes: bytes('VmRSS') };
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
