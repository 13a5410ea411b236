/** Admin routes that show the gateway as a whole. */
import { type GatewayOperations } from './operations.ts';
import { type AdminRoute, reading } from './route.ts';

/** `GET /v1/version`, `GET /v1/status`. */
export function statusRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [reading('/v1/version', () => operations.version()), reading('/v1/status', () => operations.status())];
}
