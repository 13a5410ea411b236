/** What the other end of a link has proved, and how either end proves itself anew while the link stands (wire.md, re-proof). */
import { JumpgateError } from '../../base/errors.ts';
import { type ChainVerifier } from '../../trust-bundles/tls/connection.ts';
import {
  checkReproof,
  readReproof,
  type ReproofBinding,
  signReproof,
  writeReproof,
} from '../../trust-bundles/tls/reprove.ts';
import { type PresenterRole } from '../../trust-bundles/verify/purpose.ts';
import { type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';

/** Authority of a re-proof, its path, and the feature that a hello announces it by. */
export const REPROVE_AUTHORITY = 'reprove.jumpgate';
export const REPROVE_PATH = '/reprove';
export const REPROVE_FEATURE = 'reprove';

/** What a link starts from. */
export interface LinkProofOptions {
  readonly socket: ReproofBinding['socket'];
  /** Ours. */
  readonly role: PresenterRole;
  /** What the handshake proved. */
  readonly identity: VerifiedIdentity;
  /** Judges chains of the other end by the newest bundle and registration. */
  readonly admit: ChainVerifier;
}

/** Both ends' proofs. In each exchange the client states first and the server, by the same counter, in its answer. */
export class LinkProof {
  readonly #options: LinkProofOptions;
  #identity: VerifiedIdentity;
  #counter = 0;

  constructor(options: LinkProofOptions) {
    this.#options = options;
    this.#identity = options.identity;
  }

  /** As last proved. */
  get identity(): VerifiedIdentity {
    return this.#identity;
  }

  /** The client's statement, which begins an exchange. */
  begin(svid: X509Svid): string {
    this.#counter += 1;
    return this.#state(svid);
  }

  /** The server's statement, which ends the exchange that {@link hear} has taken. */
  answer(svid: X509Svid): string {
    return this.#state(svid);
  }

  /**
   * Takes the other end's statement: its identity is from now on the one that it proves. Throws `reproof-malformed`, and
   * `reproof-refused` with the reason; then everything stays as it was.
   */
  hear(body: Uint8Array): VerifiedIdentity {
    const { admit, role, socket } = this.#options;
    const stated = readReproof(body);
    const isOurs = role === 'client';
    const { counter } = stated;
    if (isOurs ? counter !== this.#counter : counter <= this.#counter) {
      const expected = isOurs ? `exchange ${this.#counter}` : `an exchange after ${this.#counter}`;
      throw refused('counter', `expected ${expected}, found ${counter}: a statement is good for one exchange`);
    }
    const binding = { socket, role: isOurs ? 'server' : 'client', counter } as const;
    const verdict = checkReproof(stated, binding, { before: this.#identity, admit });
    if (verdict.kind === 'rejected') throw refused(verdict.code, verdict.message);
    this.#counter = counter;
    this.#identity = verdict;
    return verdict;
  }

  #state(svid: X509Svid): string {
    const { role, socket } = this.#options;
    return writeReproof(signReproof(svid, { socket, role, counter: this.#counter }));
  }
}

function refused(code: string, message: string): JumpgateError {
  return new JumpgateError('reproof-refused', `${code}: ${message}`, { source: 'peer', retry: 'later' });
}
