/** Begins handshakes a few at a time: the kernel's whole queue may be accepted in one turn, and each costs a signature. */
import { type Socket } from 'node:net';

/** Connections wait here for their handshake, as many as their listener takes. */
export class HandshakeTurns {
  readonly #perTurn: number;
  readonly #start: (socket: Socket) => void;
  readonly #waiting: Socket[] = [];
  #begun = 0;
  #isArmed = false;

  /** `start` begins one handshake. */
  constructor(perTurn: number, start: (socket: Socket) => void) {
    this.#perTurn = perTurn;
    this.#start = start;
  }

  /** Begins the handshake of `socket` now or, behind those that wait, in a later turn. */
  begin(socket: Socket): void {
    this.#arm();
    if (this.#begun >= this.#perTurn || this.#waiting.length > 0) this.#waiting.push(socket);
    else this.#now(socket);
  }

  #now(socket: Socket): void {
    this.#begun += 1;
    this.#start(socket);
  }

  #arm(): void {
    if (this.#isArmed) return;
    this.#isArmed = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isArmed = false;
    this.#begun = 0;
    for (const socket of this.#waiting.splice(0, this.#perTurn)) if (!socket.destroyed) this.#now(socket);
    if (this.#waiting.length > 0) this.#arm();
  }
}
