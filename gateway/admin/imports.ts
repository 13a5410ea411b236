/** Admin routes of imports. */
import { type GatewayOperations } from './operations.ts';
import { type AdminRoute, reading } from './route.ts';

/** `GET /v1/imports`. */
export function importRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [reading('/v1/imports', () => operations.imports())];
}
