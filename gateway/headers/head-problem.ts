/** Why the head of a call is refused whatever it asks for. Counts and sizes are the engines' to hold. */
import { pathProblem } from '../../federation/policy/path.ts';
import { type RequestHead } from '../message/head.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { methodProblem, type RequestFields } from './request-fields.ts';

/** The reason, or `undefined` when the head is in order. */
export function headProblem(head: RequestHead, read: RequestFields): ReasonCode | undefined {
  const problem = methodProblem(head.method.value, head.protocol?.value);
  if (problem !== undefined) return problem;
  if (!head.path.value.startsWith('/')) return 'target-malformed';
  if (head.protocol !== undefined && head.protocol.value !== 'websocket') return 'upgrade-unsupported';
  if (read.contradictory) return 'header-malformed';
  return pathProblem(head.path.value) === undefined ? undefined : 'path-ambiguous';
}

/** The same for a CONNECT between gateways, which has neither path nor scheme. */
export function tunnelProblem(read: RequestFields): ReasonCode | undefined {
  return read.contradictory ? 'header-malformed' : undefined;
}

/** What policy judges of a call. A WebSocket opens with a GET, whichever protocol carries it (RFC 8441 §4). */
export function methodOf({ method, protocol }: RequestHead): string {
  return protocol === undefined ? method.value : 'GET';
}
