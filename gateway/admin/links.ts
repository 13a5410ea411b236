/** Admin routes of links between gateways. */
import { type GatewayOperations } from './operations.ts';
import { type AdminRoute, reading } from './route.ts';

/** `GET /v1/links`. */
export function linkRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [reading('/v1/links', () => operations.links())];
}
