/** What the command line stands on: streams, environment and the two verbs that are a process of their own. */
import { type Clock } from '../../base/clock.ts';
import { type LogLevel } from '../../base/log.ts';

/** Where text goes. */
export interface CliOutput {
  write(text: string): unknown;
}

/** The surroundings of one command. */
export interface CliIo {
  readonly stdout: CliOutput;
  readonly stderr: CliOutput;
  readonly stdin: AsyncIterable<Uint8Array | string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute; relative paths of arguments start here. */
  readonly cwd: string;
}

/** Options of `run`. */
export interface RunOptions {
  /** Absolute. */
  readonly directory: string;
  /** Instead of the Mesh document's level. */
  readonly logLevel: LogLevel | undefined;
}

/** Options of `demo`. */
export interface DemoOptions {
  /** Show everything, clean up and exit instead of staying up. */
  readonly once: boolean;
}

/** Verbs that the entry supplies, and time. Both resolve with the exit code. */
export interface CliDeps {
  readonly clock: Clock;
  run(options: RunOptions): Promise<number>;
  demo(options: DemoOptions): Promise<number>;
}

/** Exit codes. */
export const EXIT = {
  ok: 0,
  /** The command worked and found problems, or the gateway could not do it. */
  problems: 1,
  /** Wrong arguments or a bad configuration. */
  usage: 2,
  /** No gateway answered. */
  unreachable: 3,
} as const;
