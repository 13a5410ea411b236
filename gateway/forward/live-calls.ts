/** The calls that are under way, so that distrust and operators can cut exactly those that they mean. */
import { type ReasonCode } from '../refusal/reason.ts';
import { type CallSubject } from '../telemetry/call-subject.ts';
import { type View } from './view.ts';

/** A call as this list holds it: linked through members of its own, since every call is added and removed. */
export interface LiveCall {
  readonly subject: CallSubject;
  following: LiveCall | undefined;
  preceding: LiveCall | undefined;
  /** Why policy would not admit it under `view`, or `undefined`: judged by the code that admitted it. */
  refusedUnder(view: View): ReasonCode | undefined;
  /** Ends the call whatever stage it is in. */
  cut(reason: ReasonCode): void;
}

/** A list of calls. */
export class LiveCalls {
  #first: LiveCall | undefined;
  #size = 0;

  /** Calls under way. */
  get size(): number {
    return this.#size;
  }

  /** Adds a call that is in no list. */
  add(call: LiveCall): void {
    call.following = this.#first;
    if (this.#first !== undefined) this.#first.preceding = call;
    this.#first = call;
    this.#size += 1;
  }

  /** Removes a call that is in this list. */
  remove(call: LiveCall): void {
    if (call.preceding === undefined) this.#first = call.following;
    else call.preceding.following = call.following;
    if (call.following !== undefined) call.following.preceding = call.preceding;
    call.following = undefined;
    call.preceding = undefined;
    this.#size -= 1;
  }

  /** Cuts the calls whose subject is `meant`; returns how many. */
  cut(meant: (subject: CallSubject) => boolean, reason: ReasonCode): number {
    const found: LiveCall[] = [];
    for (let call = this.#first; call !== undefined; call = call.following) if (meant(call.subject)) found.push(call);
    for (const call of found) call.cut(reason);
    return found.length;
  }

  /** Cuts the calls that policy would not admit under `view`, each with the reason, if it is `only` (default any); returns how many. */
  review(view: View, only?: ReasonCode): number {
    const found: { readonly call: LiveCall; readonly reason: ReasonCode }[] = [];
    for (let call = this.#first; call !== undefined; call = call.following) {
      const reason = call.refusedUnder(view);
      if (reason !== undefined && (only === undefined || reason === only)) found.push({ call, reason });
    }
    for (const { call, reason } of found) call.cut(reason);
    return found.length;
  }
}
