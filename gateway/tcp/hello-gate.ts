/** Lets a TLS connection pass by the server name that its ClientHello asks for; no byte of it is changed. */
import { servesName } from '../../federation/policy/server-name.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { ALERT, alertRecord } from './alert.ts';
import { ClientHelloReader } from './client-hello.ts';

/** What is known after some bytes: nothing yet, all bytes so far to be sent on, or why not and what to tell the client. */
export type GateStep =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'passed'; readonly bytes: Uint8Array }
  | { readonly kind: 'refused'; readonly reason: ReasonCode; readonly alert: Buffer };

/** The gate of one connection. Not to be used again after it has passed or refused it. */
export class HelloGate {
  readonly #reader = new ClientHelloReader();
  readonly #serverNames: readonly string[];

  /** `serverNames` as in `policy/server-name`. A client that names no server is let through by none. */
  constructor(serverNames: readonly string[]) {
    this.#serverNames = serverNames;
  }

  /** Takes the next bytes. */
  read(bytes: Uint8Array): GateStep {
    const step = this.#reader.read(bytes);
    if (step.kind === 'incomplete') return step;
    if (step.kind === 'refused') return { kind: 'refused', reason: 'client-hello-malformed', alert: step.alert };
    const { serverName } = step.hello;
    if (serverName !== undefined && servesName(this.#serverNames, serverName)) {
      return { kind: 'passed', bytes: step.bytes };
    }
    return { kind: 'refused', reason: 'server-name-unserved', alert: alertRecord(ALERT.unrecognizedName) };
  }
}
