/** The snapshot as calls look things up in it: indexed once when it changes, never searched per call. */
import { matchesPath, withoutQuery } from '../../federation/policy/path.ts';
import {
  type Snapshot,
  type SnapshotExport,
  type SnapshotImport,
  type SnapshotRoute,
  type SnapshotSource,
} from '../../federation/snapshot/snapshot.ts';
import { type RequestHead } from '../message/head.ts';
import { specificity } from '../routing/match.ts';

/** One snapshot with its indexes. A new object each time, so that whatever was derived from the old one is known to be old. */
export class View {
  readonly snapshot: Snapshot;
  /** By every host name that reaches it. */
  readonly imports: ReadonlyMap<string, SnapshotImport>;
  readonly #routes = new Map<string, SnapshotRoute[]>();

  constructor(snapshot: Snapshot) {
    this.snapshot = snapshot;
    const imports = new Map<string, SnapshotImport>();
    for (const imported of snapshot.imports.values()) {
      for (const host of imported.hosts) if (!imports.has(host)) imports.set(host, imported);
    }
    this.imports = imports;
    for (const route of snapshot.routes) for (const host of route.hosts) this.#add(`${route.edge} ${host}`, route);
    for (const routes of this.#routes.values()) routes.sort((a, b) => specificity(b.path) - specificity(a.path));
  }

  /** The route of an edge for a host (normalised): the one with the most specific path that takes the head's. */
  route(edge: string, host: string, head: RequestHead): SnapshotRoute | undefined {
    const path = withoutQuery(head.path.value);
    return this.#routes.get(`${edge} ${host}`)?.find((each) => matchesPath(each.path, path));
  }

  /** The import that this route leads to, if it is one. */
  importBehind(edge: string, host: string, head: RequestHead): SnapshotImport | undefined {
    const to = this.route(edge, host, head)?.to;
    return to?.kind === 'import' ? this.snapshot.imports.get(to.name) : undefined;
  }

  /** The export that this route leads to, if it is one. */
  exportBehind(edge: string, host: string, head: RequestHead): SnapshotExport | undefined {
    const to = this.route(edge, host, head)?.to;
    return to?.kind === 'export' ? this.snapshot.exports.get(to.name) : undefined;
  }

  #add(key: string, route: SnapshotRoute): void {
    const routes = this.#routes.get(key);
    if (routes === undefined) this.#routes.set(key, [route]);
    else routes.push(route);
  }
}

/** The view of the present snapshot. */
export class Views {
  readonly #snapshots: SnapshotSource;
  #view: View | undefined;

  constructor(snapshots: SnapshotSource) {
    this.#snapshots = snapshots;
  }

  /** The same object as long as the snapshot stands. */
  current(): View {
    const snapshot = this.#snapshots.current();
    if (this.#view?.snapshot !== snapshot) this.#view = new View(snapshot);
    return this.#view;
  }
}
