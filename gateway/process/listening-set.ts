/** The primary's listening sockets: opened as control wants them, paused together, closed with the process. */
import { isDeepStrictEqual } from 'node:util';

import { JumpgateError } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type ActivatedSocket } from './activation.ts';
import { type BoundListener, type WantedListener } from './channel.ts';
import { type Handover } from './handover.ts';
import { ListeningSocket, type CopyHandle } from './listening.ts';

/** What the set needs. */
export interface ListeningSetOptions {
  readonly activated: readonly ActivatedSocket[];
  readonly handover: Handover;
  readonly copy: CopyHandle;
  readonly log: Logger;
}

/** Listening sockets by name. */
export class ListeningSet {
  readonly #options: ListeningSetOptions;
  readonly #sockets = new Map<string, ListeningSocket>();
  #last: Promise<unknown> = Promise.resolve();
  /** Adopted once; after that the descriptor is ours and may have another number. */
  readonly #unclaimed: Map<string, number>;

  constructor(options: ListeningSetOptions) {
    this.#options = options;
    this.#unclaimed = new Map(options.activated.map(({ name, fd }) => [name, fd]));
  }

  /**
   * Opens what is new, keeps what is as it was, closes what is no longer wanted; or throws and leaves all as it was.
   * Throws what `ListeningSocket.open` throws, and `activation-mismatch` for an inherited socket that nobody wants.
   */
  open(wanted: readonly WantedListener[]): Promise<readonly BoundListener[]> {
    const next = this.#last.then(() => this.#open(wanted));
    this.#last = next.catch(() => undefined);
    return next;
  }

  /** Pauses what has no room, and resumes what has again. */
  adjust(): void {
    const { handover, log } = this.#options;
    for (const socket of this.#sockets.values()) {
      const { name, to } = socket.wanted;
      if (socket.accepting && !handover.hasRoom(to)) {
        if (socket.pause()) log.warn('accepting pauses: there is no descriptor to spare', { listener: name });
      } else if (!socket.accepting && handover.mayResume(to)) {
        void socket.resume().then((accepts) => {
          if (accepts) log.info('accepting goes on', { listener: name });
        });
      }
    }
  }

  /** Orders spares where there are none; called when somebody who can make copies is there again. */
  async prepare(): Promise<void> {
    await Promise.all([...this.#sockets.values()].map((socket) => socket.prepare()));
  }

  /** Closes those whose connections go to `to`. */
  close(to: WantedListener['to']): void {
    for (const [name, socket] of this.#sockets) {
      if (socket.wanted.to !== to) continue;
      socket.close();
      this.#sockets.delete(name);
    }
  }

  async #open(wanted: readonly WantedListener[]): Promise<readonly BoundListener[]> {
    const names = new Set(wanted.map(({ name }) => name));
    for (const name of this.#unclaimed.keys()) {
      if (names.has(name)) continue;
      const message = `socket activation: expected the name of a listener (${[...names].join(', ')}), found ${name}: mend FileDescriptorName=`;
      throw new JumpgateError('activation-mismatch', message, { source: 'config' });
    }
    const opened: ListeningSocket[] = [];
    try {
      for (const each of wanted) {
        if (isDeepStrictEqual(this.#sockets.get(each.name)?.wanted, each)) continue;
        opened.push(await this.#openOne(each));
      }
    } catch (error) {
      for (const socket of opened) socket.close();
      throw error;
    }
    for (const [name, socket] of this.#sockets) {
      if (names.has(name) && !opened.some(({ wanted: { name: other } }) => other === name)) continue;
      socket.close();
      this.#sockets.delete(name);
    }
    for (const socket of opened) {
      this.#unclaimed.delete(socket.wanted.name);
      this.#sockets.set(socket.wanted.name, socket);
    }
    return wanted.map(({ name }) => this.#sockets.get(name)?.bound).filter((bound) => bound !== undefined);
  }

  #openOne(wanted: WantedListener): Promise<ListeningSocket> {
    const { copy, handover } = this.#options;
    const { name: listener, to, forCalls } = wanted;
    return ListeningSocket.open({
      wanted,
      fd: this.#unclaimed.get(listener),
      copy,
      onConnection: (socket) => {
        // The peer may reset it while it waits; whoever takes it will notice.
        socket.on('error', () => undefined);
        handover.offer({ socket, listener, to, forCalls });
        if (!handover.hasRoom(to)) this.adjust();
      },
    });
  }
}
