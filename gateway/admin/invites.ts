/** Admin routes of invites: making one here, redeeming one of another mesh. */
import { type GatewayOperations } from './operations.ts';
import {
  type AdminRoute,
  NAME_SCHEMA,
  NO_PARAMS,
  objectSchema,
  optional,
  optionalFlag,
  optionalNumber,
  optionalText,
  text,
} from './route.ts';

/** A day: an invite is meant to be redeemed at once, and whoever holds it can. */
const TTL_SECONDS_MAX = 86_400;
/** Room for a bundle of several roots in base64, well below the body's limit. */
const TOKEN_CHARS_MAX = 262_144;

const INVITE = objectSchema(
  {
    peer: NAME_SCHEMA,
    trustDomain: { type: 'string', minLength: 1, maxLength: 255 },
    ttlSeconds: { type: 'integer', minimum: 1, maximum: TTL_SECONDS_MAX },
    approve: { type: 'boolean' },
  },
  ['peer', 'trustDomain'],
);

const JOIN = objectSchema(
  {
    token: { type: 'string', minLength: 1, maxLength: TOKEN_CHARS_MAX },
    name: NAME_SCHEMA,
    expectFingerprint: { type: 'string', pattern: '^[0-9a-f]{64}$' },
    replace: { type: 'boolean' },
  },
  ['token'],
);

/** `POST /v1/invites`, `POST /v1/join`. */
export function inviteRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [
    {
      method: 'POST',
      url: '/v1/invites',
      params: NO_PARAMS,
      body: INVITE,
      action: 'invite',
      subject: ({ body }) => text(body, 'peer'),
      run: ({ body }) =>
        operations.invite({
          peer: text(body, 'peer'),
          trustDomain: text(body, 'trustDomain'),
          ...optional('ttlSeconds', optionalNumber(body, 'ttlSeconds')),
          ...optional('approve', optionalFlag(body, 'approve')),
        }),
    },
    {
      method: 'POST',
      url: '/v1/join',
      params: NO_PARAMS,
      body: JOIN,
      action: 'join',
      subject: ({ body }) => text(body, 'name'),
      run: ({ body }) =>
        operations.join({
          token: text(body, 'token'),
          ...optional('name', optionalText(body, 'name')),
          ...optional('expectFingerprint', optionalText(body, 'expectFingerprint')),
          ...optional('replace', optionalFlag(body, 'replace')),
        }),
    },
  ];
}
