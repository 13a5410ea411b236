/** A web certificate and its key from two files that something else renews (profile https_web): taken up without a restart. */
import { readFile } from 'node:fs/promises';

import { type Clock, sleep } from '../../base/clock.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { Lifetime } from '../../base/lifetime.ts';
import { type Logger } from '../../base/log.ts';
import { checkCredentials } from '../tls/accept.ts';
import { type TlsCredentials } from '../tls/context.ts';
import { type ServerCredentials } from '../tls/server-credentials.ts';

/** ACME clients renew days before the end; half a minute is soon enough, and costs two small reads. */
const CHECK_EVERY_MS = 30_000;

/** Which files. */
export interface CertificateFilesOptions {
  /** PEM, the server's certificate first. */
  readonly certificateFile: string;
  /** PEM, PKCS#8 or the key formats of before. */
  readonly keyFile: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The pair of now. One that does not fit, such as a half-written one, is logged and the last good one kept. */
export class CertificateFiles implements ServerCredentials, AsyncDisposable {
  readonly #options: CertificateFilesOptions;
  readonly #lifetime: Lifetime;
  readonly #listeners = new Set<(credentials: TlsCredentials) => void>();
  #current: TlsCredentials;
  /** What was found unusable, which is said once. */
  #refused: TlsCredentials | undefined;

  private constructor(options: CertificateFilesOptions, first: TlsCredentials) {
    this.#options = options;
    this.#current = first;
    const { clock, log } = options;
    this.#lifetime = new Lifetime((task, error) => log.error('task failed', { task, error: messageOf(error) }));
    this.#lifetime.run('certificate files', async (signal) => {
      for (;;) {
        await sleep(clock, CHECK_EVERY_MS, signal);
        await this.refresh();
      }
    });
  }

  /** Reads both. Throws `certificate-unusable` (source config) for a pair that cannot be read or does not fit. */
  static async open(options: CertificateFilesOptions): Promise<CertificateFiles> {
    const first = await readPair(options);
    checkCredentials(first);
    return new CertificateFiles(options, first);
  }

  current(): TlsCredentials {
    return this.#current;
  }

  watch(listener: (credentials: TlsCredentials) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Looks at the files now. */
  async refresh(): Promise<void> {
    const { certificateFile, log } = this.#options;
    try {
      const next = await readPair(this.#options);
      if (isSame(next, this.#current) || isSame(next, this.#refused)) return;
      this.#refused = next;
      checkCredentials(next);
      this.#current = next;
      for (const listener of [...this.#listeners]) listener(next);
      log.info('certificate taken up', { certificateFile });
    } catch (error) {
      log.error('the new certificate is not used, the old one stays', { certificateFile, error: messageOf(error) });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
    await this.#lifetime[Symbol.asyncDispose]();
  }
}

async function readPair({ certificateFile, keyFile }: CertificateFilesOptions): Promise<TlsCredentials> {
  try {
    const [cert, key] = await Promise.all([readFile(certificateFile, 'utf8'), readFile(keyFile, 'utf8')]);
    return { cert, key };
  } catch (cause) {
    throw new JumpgateError('certificate-unusable', messageOf(cause), { source: 'config', cause });
  }
}

function isSame(one: TlsCredentials, other: TlsCredentials | undefined): boolean {
  return one.cert === other?.cert && one.key === other.key;
}
