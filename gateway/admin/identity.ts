/** Admin routes of our own identity: SVIDs for workloads, and the rotation of the root. */
import { type GatewayOperations } from './operations.ts';
import {
  type AdminRoute,
  NO_PARAMS,
  objectSchema,
  optional,
  optionalFlag,
  optionalNumber,
  reading,
  SPIFFE_ID_SCHEMA,
  text,
} from './route.ts';

/** A day: SVIDs are short-lived, since nothing else revokes them. */
const TTL_SECONDS_MAX = 86_400;
const TTL_SECONDS_MIN = 60;

const SVID = objectSchema(
  { id: SPIFFE_ID_SCHEMA, ttlSeconds: { type: 'integer', minimum: TTL_SECONDS_MIN, maximum: TTL_SECONDS_MAX } },
  ['id'],
);

/** `POST /v1/svids`, `GET` and `POST /v1/rotation`. */
export function identityRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [
    {
      method: 'POST',
      url: '/v1/svids',
      params: NO_PARAMS,
      body: SVID,
      action: 'svid-issue',
      subject: ({ body }) => text(body, 'id'),
      run: ({ body }) =>
        operations.svid({ id: text(body, 'id'), ...optional('ttlSeconds', optionalNumber(body, 'ttlSeconds')) }),
    },
    reading('/v1/rotation', () => operations.rehearseRotation()),
    {
      method: 'POST',
      url: '/v1/rotation',
      params: NO_PARAMS,
      body: objectSchema({ force: { type: 'boolean' } }, []),
      action: 'root-rotate',
      run: ({ body }) => operations.rotate({ force: optionalFlag(body, 'force') ?? false }),
    },
  ];
}
