/** A child's end of the channel to the primary: control and the workers live behind it. */
import { type SendHandle } from 'node:child_process';
import { Socket } from 'node:net';

import { JumpgateError } from '../../base/errors.ts';
import {
  readToChild,
  type BoundListener,
  type FromChild,
  type ProcessId,
  type ProcessStatus,
  type ToChild,
  type WantedListener,
} from './channel.ts';
import { closeHandle } from './listening.ts';

/** What a child does when the primary speaks; what it leaves out it does not care about. */
export interface ChildChannelOptions {
  /**
   * Serves a connection, whose first byte has not been read yet and which stays open for writing after the peer's FIN;
   * or returns false at once and leaves it alone, for somebody else.
   */
  readonly onConnection?: (socket: Socket, listener: string) => boolean;
  readonly onRelay?: (topic: string, bytes: Uint8Array, from: ProcessId) => void;
  readonly onProcesses?: (processes: readonly ProcessStatus[]) => void;
  readonly onDrain: (deadlineMs: number) => void;
  /** Control only: every worker has ended. */
  readonly onFinish?: () => void;
  readonly onHangUp?: () => void;
  /** The primary has gone: nobody can reach this process any more, nor end it. */
  readonly onOrphaned: () => void;
}

/** What control asks the primary to own. */
export interface ListenRequest {
  readonly listeners: readonly WantedListener[];
  readonly workers: number;
  readonly drainMs: number;
}

/** Where control sends a message, and whether workers that start later get it too. */
export interface RelayTarget {
  readonly to: ProcessId | 'workers';
  readonly topic: string;
  readonly retained?: boolean;
}

/** These go to the whole process group of a terminal; only the primary acts on them. */
const PRIMARY_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The channel. There is one in a process, from its start to its end. */
export class ChildChannel implements Disposable {
  readonly #options: ChildChannelOptions;
  readonly #closed = new Map<string, number>();
  #telling = false;
  #over = false;
  #listening: PromiseWithResolvers<readonly BoundListener[]> | undefined;
  readonly #onMessage = (message: unknown, handle: unknown): void => this.#heard(readToChild(message), handle);
  readonly #onDisconnect = (): void => this.#options.onOrphaned();
  readonly #onSignal = (): void => undefined;

  /** Throws `no-primary` in a process that was not started by one. */
  constructor(options: ChildChannelOptions) {
    this.#options = options;
    if (process.send === undefined || !process.connected)
      throw new JumpgateError('no-primary', 'expected a channel to a primary process, found none', { source: 'local' });
    process.on('message', this.#onMessage);
    process.on('disconnect', this.#onDisconnect);
    for (const signal of PRIMARY_SIGNALS) process.on(signal, this.#onSignal);
  }

  /** From now on connections come. */
  ready(): void {
    this.#send({ kind: 'ready' });
  }

  /** Control only: what workers were told up to now is enough to carry calls by. */
  callsCanBeCarried(): void {
    this.#send({ kind: 'calls-can-be-carried' });
  }

  /** Sends bytes that the primary passes on unread. */
  relay({ to, topic, retained = false }: RelayTarget, bytes: Uint8Array): void {
    this.#send({ kind: 'relay', to, topic, retained, bytes });
  }

  /** Has the primary listen and start workers. Throws what binding throws. One at a time. */
  listen(request: ListenRequest): Promise<readonly BoundListener[]> {
    this.#listening = Promise.withResolvers();
    this.#send({ kind: 'listen', ...request });
    return this.#listening.promise;
  }

  /** Ends the channel, after which nothing keeps the process alive on its account. */
  [Symbol.dispose](): void {
    // The `message` listener stays: Node keeps a message without one in the channel, which is gone by then, and crashes.
    this.#over = true;
    process.off('disconnect', this.#onDisconnect);
    if (process.connected) process.disconnect();
  }

  #heard(message: ToChild | undefined, handle: unknown): void {
    if (message === undefined || this.#over) return;
    switch (message.kind) {
      case 'connection':
        this.#connection(message.id, message.listener, handle);
        return;
      case 'copy':
        this.#copy(message.id, handle);
        return;
      case 'relay':
        this.#options.onRelay?.(message.topic, message.bytes, message.from);
        return;
      case 'bound':
        this.#listening?.resolve(message.listeners);
        return;
      case 'not-bound':
        this.#listening?.reject(new JumpgateError(message.code, message.message, { source: 'config' }));
        return;
      case 'processes':
        this.#options.onProcesses?.(message.processes);
        return;
      case 'drain':
        this.#options.onDrain(message.deadlineMs);
        return;
      case 'finish':
        this.#options.onFinish?.();
        return;
      case 'hang-up':
        this.#options.onHangUp?.();
        return;
      default:
        message satisfies never;
    }
  }

  /** `taken` is written in this turn, before the loop can read: a connection of which a byte was read is never given again. */
  #connection(id: number, listener: string, socket: unknown): void {
    if (!(socket instanceof Socket)) {
      // The descriptor did not arrive: there was no room for it here. The primary still has its own.
      this.#send({ kind: 'returned', id });
      return;
    }
    socket.on('error', () => undefined);
    socket.allowHalfOpen = true;
    if (this.#options.onConnection?.(socket, listener) !== true) {
      this.#send({ kind: 'returned', id });
      socket.destroy();
      return;
    }
    this.#send({ kind: 'taken', id });
    if (socket.closed) this.#count(listener);
    else socket.once('close', () => this.#count(listener));
  }

  #copy(id: number, handle: unknown): void {
    if (!isSendable(handle)) {
      this.#send({ kind: 'copy', id });
      return;
    }
    process.send?.({ kind: 'copy', id } satisfies FromChild, handle, { keepOpen: true }, () => closeHandle(handle));
  }

  #count(listener: string): void {
    this.#closed.set(listener, (this.#closed.get(listener) ?? 0) + 1);
    if (this.#telling) return;
    this.#telling = true;
    setImmediate(() => {
      this.#telling = false;
      for (const [name, count] of this.#closed) this.#send({ kind: 'closed', listener: name, count });
      this.#closed.clear();
    });
  }

  #send(message: FromChild): void {
    // With the callback a channel that has just closed is no error: `disconnect` tells of it.
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
  }
}

function isSendable(value: unknown): value is SendHandle & object {
  return typeof value === 'object' && value !== null;
}
