/** Admin routes of bundles, ours and the peers'. */
import { type GatewayOperations } from './operations.ts';
import { type AdminRoute, reading } from './route.ts';

/** `GET /v1/bundles`. */
export function bundleRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [reading('/v1/bundles', () => operations.bundles())];
}
