/** Admin routes of peers. */
import { type GatewayOperations } from './operations.ts';
import { type AdminRoute, NAME_SCHEMA, objectSchema, reading, text } from './route.ts';

const PARAMS = objectSchema({ name: NAME_SCHEMA }, ['name']);

/** `GET /v1/peers`, `DELETE /v1/peers/:name`, `POST /v1/peers/:name/approve`. */
export function peerRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [
    reading('/v1/peers', () => operations.peers()),
    {
      method: 'DELETE',
      url: '/v1/peers/:name',
      params: PARAMS,
      body: undefined,
      action: 'peer-remove',
      subject: ({ params }) => text(params, 'name'),
      run: ({ params }) => operations.removePeer(text(params, 'name')),
    },
    {
      method: 'POST',
      url: '/v1/peers/:name/approve',
      params: PARAMS,
      body: objectSchema({}, []),
      action: 'peer-approve',
      subject: ({ params }) => text(params, 'name'),
      run: ({ params }) => operations.approvePeer(text(params, 'name')),
    },
  ];
}
