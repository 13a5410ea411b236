/** The documents in force: read whole, checked whole, and swapped in whole or not at all. */
import { type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { formatProblem } from '../../base/config/problem.ts';
import { warningsOf } from '../../federation/resources/check.ts';
import { loadResources } from '../../federation/resources/load.ts';
import { restartFields } from '../../federation/resources/restart.ts';
import { type ResourceSet } from '../../federation/resources/values.ts';
import { type ReloadResult } from '../admin/operations.ts';

/** What a process starts with. */
export interface FirstDocuments {
  /** In force from the start. */
  readonly set: ResourceSet;
  readonly digest: string;
  /** What the listeners and workers were started with, when an earlier control process did that. */
  readonly started?: ResourceSet;
  /** What has changed since then and waits for a restart. */
  readonly needsRestart?: readonly string[];
}

/** What the configuration is made of. */
export interface ConfigurationOptions {
  readonly directory: string;
  readonly first: FirstDocuments;
  /** Names of the peers that the store has: documents may name them too. */
  readonly storedPeers: () => readonly string[];
  /** Takes valid documents into force; when it throws, the old ones are still in force. */
  readonly apply: (set: ResourceSet) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Reloads one at a time; the result of the last one is kept for status. */
export class Configuration {
  readonly #options: ConfigurationOptions;
  #set: ResourceSet;
  #last: ReloadResult;
  #queue: Promise<unknown> = Promise.resolve();
  #applied = 0;
  #refused = 0;

  constructor(options: ConfigurationOptions) {
    this.#options = options;
    this.#set = options.first.set;
    const { digest, set, needsRestart = [] } = options.first;
    this.#last = this.#result('applied', { digest, warnings: this.#warningsOf(set), needsRestart });
  }

  /** The directory that is read. */
  get directory(): string {
    return this.#options.directory;
  }

  /** What the last reload did; the start counts as one. */
  get lastReload(): ReloadResult {
    return this.#last;
  }

  /** Reloads since the start, by outcome. */
  get counts(): { readonly applied: number; readonly refused: number } {
    return { applied: this.#applied, refused: this.#refused };
  }

  /** Reads the directory again and takes it into force if all of it is valid. Never throws for what is written there. */
  reload(): Promise<ReloadResult> {
    const next = this.#queue.then(() => this.#reload());
    this.#queue = next.catch(() => undefined);
    return next;
  }

  async #reload(): Promise<ReloadResult> {
    const loaded = await loadResources(this.#options.directory);
    if (loaded.kind === 'problems') return this.#refuse(loaded.problems.map(formatProblem));
    const warnings = this.#warningsOf(loaded.set);
    const { digest } = loaded;
    if (digest === this.#last.digest && this.#last.result !== 'refused') {
      await this.#options.apply(this.#set);
      return this.#keep(this.#result('unchanged', { digest, warnings, needsRestart: this.#last.needsRestart }));
    }
    // What runs is what was started: a later change of something else does not make a restart needless.
    const { first } = this.#options;
    const needsRestart = restartFields(first.started ?? first.set, loaded.set);
    const set = needsRestart.length === 0 ? loaded.set : keepMesh(loaded.set, this.#set);
    try {
      await this.#options.apply(set);
    } catch (error) {
      return this.#refuse([messageOf(error)]);
    }
    this.#set = set;
    this.#applied += 1;
    this.#options.log.info('configuration applied', { digest, needsRestart });
    return this.#keep(this.#result('applied', { digest, warnings, needsRestart }));
  }

  #warningsOf(set: ResourceSet): readonly string[] {
    return warningsOf(set, this.#options.storedPeers()).map(formatProblem);
  }

  #refuse(problems: readonly string[]): ReloadResult {
    this.#refused += 1;
    this.#options.log.error('configuration refused, the last one stays in force', { problems });
    return this.#keep({ ...this.#result('refused', { digest: this.#last.digest }), problems });
  }

  #keep(result: ReloadResult): ReloadResult {
    this.#last = result;
    return result;
  }

  #result(result: ReloadResult['result'], facts: Partial<ReloadResult> & { readonly digest: string }): ReloadResult {
    const at = new Date(this.#options.clock.now()).toISOString();
    return { problems: [], warnings: [], needsRestart: [], ...facts, result, at };
  }
}

/** The Mesh document as it was at the start, but for the fields that take effect while running. */
export function keepMesh(next: ResourceSet, running: ResourceSet): ResourceSet {
  const { logLevel, linksPerPeer, drainMs, listeners, trustDomain } = next.mesh.spec;
  const { spec } = running.mesh;
  // Identities of a trust domain that waits for a restart cannot be issued yet.
  const { workloadApi } = trustDomain === spec.trustDomain ? listeners : spec.listeners;
  const kept = { ...spec, listeners: { ...spec.listeners, workloadApi } };
  return { ...next, mesh: { ...next.mesh, spec: { ...kept, logLevel, linksPerPeer, drainMs } } };
}
