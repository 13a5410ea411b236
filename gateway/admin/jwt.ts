/** Admin routes of JWT-SVIDs. Tokens stand in bodies only: paths are what logs show. */
import { asList } from '../../base/brand.ts';
import { type GatewayOperations } from './operations.ts';
import {
  type AdminRoute,
  type JsonSchema,
  NO_PARAMS,
  objectSchema,
  optional,
  optionalNumber,
  SPIFFE_ID_SCHEMA,
  text,
} from './route.ts';

/** As the issuer has them. */
const TTL_SECONDS_MIN = 1;
const TTL_SECONDS_MAX = 3_600;
const AUDIENCE: JsonSchema = { type: 'string', minLength: 1, maxLength: 2048 };
const AUDIENCES_MAX = 64;
/** The validator says what a token may be; this much is read. */
const TOKEN_CHARS_MAX = 64 * 1024;

const ISSUE = objectSchema(
  {
    id: SPIFFE_ID_SCHEMA,
    audience: { type: 'array', items: AUDIENCE, minItems: 1, maxItems: AUDIENCES_MAX },
    ttlSeconds: { type: 'integer', minimum: TTL_SECONDS_MIN, maximum: TTL_SECONDS_MAX },
  },
  ['id', 'audience'],
);
const VALIDATE = objectSchema(
  { token: { type: 'string', minLength: 1, maxLength: TOKEN_CHARS_MAX }, audience: AUDIENCE },
  ['token', 'audience'],
);

/** `POST /v1/jwt-svids`, `/v1/jwt-svids/validate` and `/v1/jwt-keys/rotate`. */
export function jwtRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [
    {
      method: 'POST',
      url: '/v1/jwt-svids',
      params: NO_PARAMS,
      body: ISSUE,
      action: 'jwt-svid-issue',
      subject: ({ body }) => text(body, 'id'),
      run: ({ body }) =>
        operations.issueJwtSvid({
          id: text(body, 'id'),
          audience: asList(body['audience'])?.flatMap((name) => (typeof name === 'string' ? [name] : [])) ?? [],
          ...optional('ttlSeconds', optionalNumber(body, 'ttlSeconds')),
        }),
    },
    {
      method: 'POST',
      url: '/v1/jwt-svids/validate',
      params: NO_PARAMS,
      body: VALIDATE,
      action: undefined,
      run: ({ body }) => operations.validateJwtSvid({ token: text(body, 'token'), audience: text(body, 'audience') }),
    },
    {
      method: 'POST',
      url: '/v1/jwt-keys/rotate',
      params: NO_PARAMS,
      body: objectSchema({}, []),
      action: 'jwt-key-rotate',
      run: () => operations.rotateJwtKey(),
    },
  ];
}
