/** Admin route that judges a call without making it. */
import { type GatewayOperations } from './operations.ts';
import {
  type AdminRoute,
  NO_PARAMS,
  objectSchema,
  optional,
  optionalFlag,
  optionalText,
  SPIFFE_ID_SCHEMA,
  text,
} from './route.ts';

/** The limit of a request target on every listener. */
const PATH_CHARS_MAX = 8192;

const EXPLAIN = objectSchema(
  {
    from: SPIFFE_ID_SCHEMA,
    // A name, or a host name with or without port.
    to: { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?$', maxLength: 260 },
    direction: { type: 'string', enum: ['export', 'import'] },
    method: { type: 'string', pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$" },
    path: { type: 'string', pattern: '^/', maxLength: PATH_CHARS_MAX },
    grpc: { type: 'boolean' },
  },
  ['from', 'to'],
);

/** `POST /v1/explain`: reads only, and is a POST because a path does not fit a query well. */
export function explainRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [
    {
      method: 'POST',
      url: '/v1/explain',
      params: NO_PARAMS,
      body: EXPLAIN,
      action: undefined,
      run: ({ body }) => {
        const direction = (['export', 'import'] as const).find((known) => known === body['direction']);
        return operations.explain({
          from: text(body, 'from'),
          to: text(body, 'to'),
          ...optional('direction', direction),
          ...optional('method', optionalText(body, 'method')),
          ...optional('path', optionalText(body, 'path')),
          ...optional('grpc', optionalFlag(body, 'grpc')),
        });
      },
    },
  ];
}
