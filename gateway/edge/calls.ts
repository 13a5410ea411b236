/** Calls from outside: host and path choose a Route, and they become east/west calls under the edge's own identity. */
import { isIP } from 'node:net';

import { enter, enterRefused, type Entering, refuseEarly } from '../forward/enter.ts';
import { headProblem } from '../headers/head-problem.ts';
import { readRequestFields } from '../headers/request-fields.ts';
import { type Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { field } from '../message/names.ts';
import { type EarlyReason, type RequestListener, type ServerStream, type StreamReceiver } from '../message/stream.ts';
import { callerHttp1 } from '../socket/connection-limits.ts';
import { type EdgePlans } from './plans.ts';

/** The connection from outside. */
export interface EdgeConnection {
  readonly protocol: 'http1' | 'http2';
  readonly remoteAddress: string;
}

const FORWARDED_PROTO = field('x-forwarded-proto', 'https');

/** Takes the calls of one connection. */
export class EdgeCalls implements RequestListener {
  readonly #plans: EdgePlans;
  readonly #protocol: 'http1' | 'http2';
  readonly #client: Field | undefined;

  constructor(plans: EdgePlans, { protocol, remoteAddress }: EdgeConnection) {
    this.#plans = plans;
    this.#protocol = protocol;
    this.#client = isIP(remoteAddress) === 0 ? undefined : field('x-forwarded-for', remoteAddress);
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamReceiver {
    const plans = this.#plans;
    const read = readRequestFields(head);
    const plan = headProblem(head, read) ?? plans.planFor(head);
    const entering: Entering = { stream, head, read, end, entry: plans.entry };
    if (typeof plan === 'string') return enterRefused(plans.host, entering, plans.unrouted, plan);
    // What the caller said under these names was removed; this is what the gateway says.
    read.forwardedHost = field('x-forwarded-host', head.authority.value);
    read.forwardedProto = FORWARDED_PROTO;
    read.forwardedFor = this.#client;
    return enter(plans.host, entering, plan);
  }

  onRefused(reason: EarlyReason, head: Partial<RequestHead>, stream: ServerStream | undefined): void {
    const plans = this.#plans;
    const limits = callerHttp1(plans.limits);
    refuseEarly(plans.host, plans.entry, plans.unrouted, { reason, head, stream, protocol: this.#protocol, limits });
  }
}
