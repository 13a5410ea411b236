/** Tells when the files of a configuration directory changed and have been still for a while. */
import { createHash } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock } from '../clock.ts';
import { codeOf } from '../errors.ts';

/** An editor or a mount writes several files in a row; this long without a change means that it is done. */
const QUIET_MS = 250;

/** File events are lost on network mounts and some overlays, so the directory is also looked at this often. */
const POLL_MS = 2000;

/** As in loading: more files than this are not looked at. */
const FILES_MAX = 1000;

/** What to watch. */
export interface WatchOptions {
  readonly directory: string;
  /** Default 250. */
  readonly quietMs?: number;
  /** How often to look without being told; default 2,000. */
  readonly pollMs?: number;
  /** Which names count; by default YAML, certificates and keys, not hidden. */
  readonly relevant?: (name: string) => boolean;
  /** Called after each change, once the files are still; also when the directory has become unreadable. */
  readonly onQuiet: () => void;
  readonly clock: Clock;
}

/** Watches until disposed of; resolves when the state to compare with has been taken. */
export async function watchDirectory(options: WatchOptions): Promise<AsyncDisposable> {
  const watching = new DirectoryWatch(options);
  await watching.start();
  return watching;
}

class DirectoryWatch implements AsyncDisposable {
  readonly #options: WatchOptions;
  readonly #relevant: (name: string) => boolean;
  #events: FSWatcher | undefined;
  #poll: Disposable | undefined;
  #quiet: Disposable | undefined;
  /** The state that was told of last, by content; and the state that was seen last, by stat. */
  #told = '';
  #seen = '';
  #scanning: Promise<void> = Promise.resolve();
  #queued = false;
  #disposed = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#relevant = options.relevant ?? ((name) => /^[^.].*\.(?:ya?ml|pem|crt|key)$/.test(name));
  }

  async start(): Promise<void> {
    this.#listen();
    this.#seen = await this.#stats();
    this.#told = await this.#digest();
    this.#armPoll();
    // Something may have changed between listening and reading.
    this.#look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#events?.close();
    this.#poll?.[Symbol.dispose]();
    this.#quiet?.[Symbol.dispose]();
    await this.#scanning;
  }

  #listen(): void {
    try {
      const events = watch(this.#options.directory, { persistent: false }, (type, name) => {
        // A log beside the documents is written all the time; what is renamed may be the folder of a symlink swap.
        if (type === 'change' && name !== null && !this.#relevant(name)) return;
        this.#look();
      });
      const stop = (): void => {
        events.close();
        if (this.#events === events) this.#events = undefined;
      };
      events.on('error', stop);
      // A directory that was replaced keeps its watcher silent: the next poll listens anew.
      events.on('change', (type, name) => {
        if (type === 'rename' && !String(name).includes('.')) stop();
      });
      this.#events = events;
    } catch {
      // Without events (no such directory now, no watches left) the poll alone finds changes.
      this.#events = undefined;
    }
  }

  #armPoll(): void {
    this.#poll = this.#options.clock.after(this.#options.pollMs ?? POLL_MS, () => {
      if (this.#disposed) return;
      if (this.#events === undefined) this.#listen();
      this.#look();
      this.#armPoll();
    });
  }

  /** Looks for a change, one look at a time; any number of requests meanwhile are one more look. */
  #look(): void {
    if (this.#disposed || this.#queued) return;
    this.#queued = true;
    this.#scanning = this.#scanning.then(async () => {
      this.#queued = false;
      const now = await this.#stats();
      if (this.#disposed || now === this.#seen) return;
      this.#seen = now;
      this.#armQuiet();
    });
  }

  #armQuiet(): void {
    this.#quiet?.[Symbol.dispose]();
    this.#quiet = this.#options.clock.after(this.#options.quietMs ?? QUIET_MS, () => {
      this.#scanning = this.#scanning.then(() => this.#settle());
    });
  }

  /** Tells, unless the files moved on while nobody looked, or hold what they held before. */
  async #settle(): Promise<void> {
    const now = await this.#stats();
    const digest = await this.#digest();
    if (this.#disposed) return;
    if (now !== this.#seen) {
      this.#seen = now;
      this.#armQuiet();
      return;
    }
    if (digest === this.#told) return;
    this.#told = digest;
    this.#options.onQuiet();
  }

  #stats(): Promise<string> {
    return this.#each(async (path) => {
      const { ino, size, mtimeNs } = await stat(path, { bigint: true });
      return `${ino} ${size} ${mtimeNs}`;
    });
  }

  #digest(): Promise<string> {
    return this.#each(async (path) =>
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    );
  }

  /** One line for each relevant file; what cannot be read is a state too. */
  async #each(describe: (path: string) => Promise<string>): Promise<string> {
    const { directory } = this.#options;
    try {
      const names = (await readdir(directory)).filter(this.#relevant).sort().slice(0, FILES_MAX);
      const lines: string[] = [];
      for (const name of names) lines.push(`${name} ${await describe(join(directory, name)).catch(unreadable)}`);
      return lines.join('\n');
    } catch (error) {
      return unreadable(error);
    }
  }
}

function unreadable(error: unknown): string {
  return `unreadable ${codeOf(error) ?? ''}`;
}
