/** gRPC's health checking on a Workload API socket (grpc/grpc doc/health-checking.md): serving means that SVIDs can be had. */
import {
  HEALTH_CHECK,
  HEALTH_LIST,
  HEALTH_WATCH,
  SERVING_STATUS,
  type ServingStatus,
} from '../../workload-api-proto/health-methods.ts';
import { feedOf } from './feed.ts';
import { type Feed, refused, type Rpc, stream, unary } from './rpc.ts';

/** The server as a whole. */
const ALL = '';
/** More characters name no service of ours, and are not repeated to the caller. */
const NAME_CHARS_SHOWN = 100;

/**
 * Serves it for `services`, all of which serve as long as `state` tells a message. It shows no secret, so it asks for no
 * header: probes cannot send one.
 */
export function healthRpcs(services: readonly string[], state: Feed): readonly Rpc[] {
  const known = [ALL, ...services];
  const status = (): { readonly status: ServingStatus } => {
    return { status: state.current().kind === 'message' ? SERVING_STATUS.serving : SERVING_STATUS.notServing };
  };
  const check = unary(HEALTH_CHECK, ({ service }) => {
    if (known.includes(service)) return status();
    const shown = JSON.stringify(service.slice(0, NAME_CHARS_SHOWN));
    return refused('not-found', `expected one of ${services.join(', ')}, found ${shown}`);
  });
  const all = unary(HEALTH_LIST, () => ({ statuses: Object.fromEntries(known.map((name) => [name, status()])) }));
  const watch = stream(HEALTH_WATCH, ({ service }) => {
    // The protocol wants this stream held open, not refused: the service might be added.
    const now = (): { readonly status: ServingStatus } => {
      return known.includes(service) ? status() : { status: SERVING_STATUS.unknown };
    };
    return feedOf(() => ({ kind: 'message', bytes: HEALTH_WATCH.responseSerialize(now()) }), state);
  });
  return [check, all, watch].map((rpc) => ({ ...rpc, needsHeader: false }));
}
