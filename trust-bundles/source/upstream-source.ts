/** The upstream CA as its files have it now: the last good one is kept, and a new one is told of. */
import { type Clock } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { type UpstreamCa } from '../x509/issue.ts';
import { type IdentityProblem } from './identity-source.ts';
import { watchFiles } from './trust-files.ts';
import { readUpstream, type UpstreamFiles } from './upstream.ts';

/** An open upstream. */
export interface UpstreamSource extends AsyncDisposable {
  /** The file of its certificate. */
  readonly from: string;
  current(): UpstreamCa;
  /** Why what the files hold now is not in use. */
  problem(): IdentityProblem | undefined;
  /** Calls `listener` after each change, until disposed of. */
  watch(listener: () => void): Disposable;
}

/** What following needs. */
export interface UpstreamOptions {
  readonly files: UpstreamFiles;
  readonly trustDomain: TrustDomain;
  /** The other trust domain to which one of these roots is bound already. */
  readonly ownerOf: (bundle: Bundle) => TrustDomain | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** As in {@link watchFiles}. */
  readonly watch?: { readonly quietMs?: number; readonly pollMs?: number };
}

/** Reads the files and follows them. Throws what {@link readUpstream} throws; later what cannot be used is a problem. */
export async function openUpstream(options: UpstreamOptions): Promise<UpstreamSource> {
  const { clock, files, log } = options;
  const read = (): Promise<UpstreamCa> => readUpstream(files, { ...options, nowMs: clock.now() });
  const listeners = new Set<() => void>();
  let current = await read();
  let problem: IdentityProblem | undefined;
  let looking: Promise<void> = Promise.resolve();
  const take = async (): Promise<void> => {
    const next = await read();
    problem = undefined;
    if (next.id === current.id) return;
    current = next;
    log.info('upstream ca taken up', { from: files.certificateFile });
    for (const listener of [...listeners]) listener();
  };
  const failed = (error: unknown): void => {
    const message = messageOf(error);
    problem = { code: codeOf(error) ?? 'internal', message, sinceMs: problem?.sinceMs ?? clock.now() };
    log.error('the new upstream ca is not used, the old one stays', { from: files.certificateFile, error: message });
  };
  const onQuiet = (): void => {
    looking = looking.then(take).catch(failed);
  };
  const { bundleFile, certificateFile, chainFile, keyFile } = files;
  const paths = [certificateFile, keyFile, chainFile, bundleFile].filter((path) => path !== undefined);
  const watching = await watchFiles({ paths, onQuiet, clock, ...options.watch });
  // What changed between the first look and the beginning of the watch.
  onQuiet();
  await looking;
  return {
    from: certificateFile,
    current: () => current,
    problem: () => problem,
    watch: (listener) => {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    [Symbol.asyncDispose]: async () => {
      await watching[Symbol.asyncDispose]();
      await looking;
    },
  };
}
