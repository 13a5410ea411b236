/** Holds the SVID in use, as another process has given it, and tells of every change. */
import { type SvidSource, type X509Svid } from '../../trust-bundles/x509/svid.ts';

/** A source whose SVID can be replaced. */
export class ReplaceableSvid implements SvidSource {
  #current: X509Svid | undefined;
  readonly #listeners = new Set<{ readonly tell: (svid: X509Svid | undefined) => void }>();

  constructor(first: X509Svid | undefined) {
    this.#current = first;
  }

  current(): X509Svid | undefined {
    return this.#current;
  }

  /** Calls `listener` after each change, until disposed of. */
  watch(listener: (svid: X509Svid | undefined) => void): Disposable {
    const entry = { tell: listener };
    this.#listeners.add(entry);
    return { [Symbol.dispose]: () => void this.#listeners.delete(entry) };
  }

  /** Puts `next` in use; the same one again, as after a crash of its issuer, tells nobody. */
  replace(next: X509Svid | undefined): void {
    const [before, after] = [this.#current?.chain ?? [], next?.chain ?? []];
    const isSame =
      before.length === after.length && after.every((der, at) => Buffer.compare(der, before[at] ?? der) === 0);
    if (isSame) return;
    this.#current = next;
    for (const { tell } of [...this.#listeners]) tell(next);
  }
}
