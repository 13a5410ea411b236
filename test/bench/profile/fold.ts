/** Profiles as tables: the share of samples by part of the program, and the dearest functions. */
import { type Profiler } from 'node:inspector';

/** What is read of a `.cpuprofile`. */
export type CpuProfile = Pick<Profiler.Profile, 'nodes' | 'samples'>;

/** Shares of the busy samples of each gateway. */
export interface Shares {
  readonly a: number;
  readonly b: number;
}

/** Where the time went; both lists start with the dearest. */
export interface Folded {
  /** Samples that were not idle. */
  readonly samples: Shares;
  readonly rooms: readonly (Shares & { readonly room: string })[];
  readonly functions: readonly (Shares & { readonly name: string; readonly where: string })[];
}

/** The innermost function of a sample. */
interface Self {
  readonly name: string;
  readonly where: string;
  readonly room: string;
}

type CallFrame = Profiler.Profile['nodes'][number]['callFrame'];

const FUNCTIONS_SHOWN = 10;
/** Left out: the loop waits in the kernel. */
const IDLE = '(idle)';
const NATIVE = 'native';
const FROM_LOOP = 'native: system calls and C++ from the event loop';
const FROM_JAVASCRIPT = 'native: system calls, C++ and built-ins that JavaScript calls';
const COLLECTOR = 'garbage collector';
/** Deeper than two folders only here: HPACK is a subject of its own. */
const DEEP_ROOMS = ['gateway/http2/hpack'];

/** Node's own modules by subject; the first that matches counts. */
const NODE_ROOMS: readonly (readonly [RegExp, string])[] = [
  [/^node:(_stream|stream|internal\/(stream|webstreams))/, 'node: streams'],
  [/^node:(net$|internal\/net)/, 'node: net'],
  [/^node:(_?tls|internal\/tls|crypto|internal\/crypto)/, 'node: tls and crypto'],
  [/^node:(timers|internal\/timers)/, 'node: timers'],
  [/^node:(buffer|internal\/buffer)/, 'node: buffer'],
  [/^node:(fs|internal\/fs)/, 'node: fs'],
  [/^node:(events|internal\/(process\/task_queues|async_hooks))/, 'node: events and ticks'],
];

/** Folds the profiles of the processes of A and of B. `root` is the `file:` URL of the checkout, with a slash at its end. */
export function foldProfiles(
  sides: { readonly a: readonly CpuProfile[]; readonly b: readonly CpuProfile[] },
  root: string,
): Folded {
  const selves = { a: busySelves(sides.a, root), b: busySelves(sides.b, root) };
  const samples = { a: selves.a.length, b: selves.b.length };
  const table = (keyOf: (self: Self) => string): readonly (Shares & { readonly key: string })[] => {
    const counts = { a: counted(selves.a, keyOf), b: counted(selves.b, keyOf) };
    const share = (side: 'a' | 'b', key: string): number => (counts[side].get(key) ?? 0) / samples[side];
    return [...new Set([...counts.a.keys(), ...counts.b.keys()])]
      .map((key) => ({ key, a: share('a', key) || 0, b: share('b', key) || 0 }))
      .sort((one, other) => other.a + other.b - one.a - one.b || (one.key < other.key ? -1 : 1));
  };
  return {
    samples,
    rooms: table(({ room }) => room).map(({ key: room, a, b }) => ({ room, a, b })),
    functions: table(({ name, where }) => `${name}\n${where}`)
      .slice(0, FUNCTIONS_SHOWN)
      .map(({ key, a, b }) => {
        const [name = '', where = ''] = key.split('\n');
        return { name, where, a, b };
      }),
  };
}

function busySelves(profiles: readonly CpuProfile[], root: string): readonly Self[] {
  return profiles.flatMap(({ nodes, samples = [] }) => {
    const selves = selvesOf(nodes, root);
    return samples.flatMap((id) => selves.get(id) ?? []);
  });
}

/** What a sample at each node counts for; nothing at idle ones. */
function selvesOf(nodes: CpuProfile['nodes'], root: string): ReadonlyMap<number, Self> {
  const parents = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)));
  const selves = new Map<number, Self>();
  for (const { id, callFrame } of nodes) {
    if (callFrame.functionName === IDLE) continue;
    let own = parents.get(id);
    while (own !== undefined && !own.callFrame.url.startsWith(root)) own = parents.get(own.id);
    const where = callFrame.url === '' ? nativeFor(own?.callFrame, root) : placeOf(callFrame, root);
    selves.set(id, { name: callFrame.functionName || '(anonymous)', where, room: roomOf(callFrame, root) });
  }
  return selves;
}

/** Native code is told by the nearest of our files that it works for: that a write is dear says little by itself. */
function nativeFor(own: CallFrame | undefined, root: string): string {
  return own === undefined ? NATIVE : `${NATIVE}, for ${own.url.slice(root.length)}`;
}

function counted(selves: readonly Self[], keyOf: (self: Self) => string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const self of selves) counts.set(keyOf(self), (counts.get(keyOf(self)) ?? 0) + 1);
  return counts;
}

function roomOf({ functionName, url }: CallFrame, root: string): string {
  if (url === '') return nativeRoomOf(functionName);
  if (url.startsWith('node:')) return NODE_ROOMS.find(([pattern]) => pattern.test(url))?.[1] ?? 'node: other';
  if (!url.startsWith(root)) return 'other';
  const folders = url.slice(root.length).split('/').slice(0, -1);
  const deep = DEEP_ROOMS.find((room) => folders.join('/').startsWith(room));
  return deep ?? (folders.slice(0, 2).join('/') || 'other');
}

function nativeRoomOf(functionName: string): string {
  if (functionName === '(garbage collector)') return COLLECTOR;
  // V8's word for a thread that runs, but no JavaScript; its root stands for the same where a stack could not be read.
  return functionName === '(program)' || functionName === '(root)' ? FROM_LOOP : FROM_JAVASCRIPT;
}

function placeOf({ url, lineNumber }: CallFrame, root: string): string {
  // V8 counts lines from 0.
  return `${url.startsWith(root) ? url.slice(root.length) : url}:${lineNumber + 1}`;
}
