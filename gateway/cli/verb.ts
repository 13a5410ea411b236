/** A verb of the command line as data: its options, its help and what it does. */
import { resolve } from 'node:path';

import { JumpgateError } from '../../base/errors.ts';
import { type CliDeps, type CliIo } from './io.ts';

/** One option. `argument` names its value in the help; without it the option is a flag. */
export interface VerbOption {
  readonly short?: string;
  readonly argument?: string;
  readonly help: string;
}

/** The options of a verb by long name. */
export type VerbOptions = Readonly<Record<string, VerbOption>>;

/** One verb. */
export interface Verb {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** What follows `jumpgate NAME` in the usage line, without options. */
  readonly operands: string;
  readonly operandsMin: number;
  readonly operandsMax: number;
  readonly options: VerbOptions;
  /** Further lines of help. */
  readonly details?: readonly string[];
  run(context: VerbContext): Promise<number>;
}

/** What a verb is given. */
export interface VerbContext {
  readonly io: CliIo;
  readonly deps: CliDeps;
  readonly given: Given;
  /** All verbs, for help and completion. */
  readonly verbs: readonly Verb[];
}

/** The arguments as parsed. */
export class Given {
  readonly operands: readonly string[];
  readonly #values: ReadonlyMap<string, string | true>;

  constructor(operands: readonly string[], values: ReadonlyMap<string, string | true>) {
    this.operands = operands;
    this.#values = values;
  }

  /** An option's value; `undefined` if not given. */
  text(name: string): string | undefined {
    const value = this.#values.get(name);
    return value === true ? undefined : value;
  }

  /** An option's value; throws `usage` if not given. */
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw usage(`--${name} is required`);
    return value;
  }

  /** Whether a flag was given. */
  flag(name: string): boolean {
    return this.#values.get(name) === true;
  }
}

/** A mistake in the arguments: exit code 2. */
export function usage(message: string): JumpgateError {
  return new JumpgateError('usage', message, { source: 'caller' });
}

/** The directory of `-f`, absolute; throws `usage` if not given. */
export function directoryOf({ io, given }: VerbContext): string {
  const directory = given.text('file');
  if (directory === undefined) throw usage('expected -f DIR, the directory of YAML documents');
  return resolve(io.cwd, directory);
}

/** `-f`. */
export const FILE_OPTION: VerbOptions = {
  file: { short: 'f', argument: 'DIR', help: 'directory of YAML documents' },
};

/** `-o`. */
export const OUTPUT_OPTION: VerbOptions = {
  output: { short: 'o', argument: 'FORMAT', help: 'json, yaml or wide' },
};

/** How to find a running gateway. */
const GATEWAY_OPTIONS: VerbOptions = {
  ...FILE_OPTION,
  admin: { argument: 'ADDRESS', help: 'admin listener: unix:PATH or host:port; default $JUMPGATE_ADMIN' },
  'token-file': { argument: 'FILE', help: 'bearer token for host:port' },
};

/** Of every verb that asks a running gateway for something to show. */
export const LIVE_OPTIONS: VerbOptions = { ...GATEWAY_OPTIONS, ...OUTPUT_OPTION };
