/** Connections whose callers proved who they are: each is closed when its proof ends or does not hold any more. */
import { type Duplex } from 'node:stream';

import { type Clock } from '../../base/clock.ts';
import { type ChainVerifier } from '../../trust-bundles/tls/connection.ts';
import { type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';

/** The open ones, with what they proved. */
export class ProvenConnections {
  readonly #identities = new Map<Duplex, VerifiedIdentity>();
  readonly #clock: Clock;
  readonly #verify: ChainVerifier;

  /** `verify` judges by the trust of the moment. */
  constructor(clock: Clock, verify: ChainVerifier) {
    this.#clock = clock;
    this.#verify = verify;
  }

  /** Takes in a connection until it closes; cuts it when its proof expires. */
  add(socket: Duplex, identity: VerifiedIdentity): void {
    this.#identities.set(socket, identity);
    const expiry = this.#clock.after(identity.expiresAtMs - this.#clock.now(), () => socket.destroy());
    socket.once('close', () => {
      expiry[Symbol.dispose]();
      this.#identities.delete(socket);
    });
  }

  /** Verifies every proof again and cuts what no longer holds; returns how many. */
  verifyAgain(): number {
    // One workload has many connections with one chain, and signatures are what costs.
    const verdicts = new Map<string, boolean>();
    let closed = 0;
    for (const [socket, { chain }] of this.#identities) {
      const key = Buffer.concat(chain).toString('base64');
      const holds = verdicts.get(key) ?? this.#verify(chain).kind === 'verified';
      verdicts.set(key, holds);
      if (holds) continue;
      socket.destroy();
      closed += 1;
    }
    return closed;
  }
}
