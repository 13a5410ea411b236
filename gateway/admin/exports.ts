/** Admin routes of exports. */
import { type GatewayOperations } from './operations.ts';
import { type AdminRoute, reading } from './route.ts';

/** `GET /v1/exports`. */
export function exportRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [reading('/v1/exports', () => operations.exports())];
}
