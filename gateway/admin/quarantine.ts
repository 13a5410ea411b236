/** Admin routes of the quarantine. Targets stand in bodies, since SPIFFE IDs fit into no path. */
import { DISTRUST_KINDS } from '../../trust-bundles/distrust/target.ts';
import { type GatewayOperations, type QuarantineTarget } from './operations.ts';
import {
  type AdminRequest,
  type AdminRoute,
  type JsonSchema,
  NO_PARAMS,
  objectSchema,
  optional,
  optionalNumber,
  optionalText,
  reading,
  SPIFFE_ID_SCHEMA,
  text,
} from './route.ts';

/** What is to last longer is lifted by hand. */
const FOR_SECONDS_MAX = 10 * 365 * 86_400;
/** Its parser says what a reason may be; this much is read. */
const REASON_CHARS_MAX = 1_024;

const TARGET: Readonly<Record<string, JsonSchema>> = {
  kind: { type: 'string', enum: DISTRUST_KINDS },
  // As long as the longest of them, an ID.
  name: SPIFFE_ID_SCHEMA,
};

const ADD = objectSchema(
  {
    ...TARGET,
    forSeconds: { type: 'integer', minimum: 1, maximum: FOR_SECONDS_MAX },
    reason: { type: 'string', maxLength: REASON_CHARS_MAX },
  },
  ['kind', 'name'],
);

/** `GET /v1/quarantine`, `POST /v1/quarantine`, `POST /v1/quarantine/remove`. */
export function quarantineRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [
    reading('/v1/quarantine', () => operations.quarantine()),
    {
      method: 'POST',
      url: '/v1/quarantine',
      params: NO_PARAMS,
      body: ADD,
      action: 'quarantine-add',
      subject: subjectOf,
      run: ({ body, remote }) => {
        const more = {
          ...optional('forSeconds', optionalNumber(body, 'forSeconds')),
          ...optional('reason', optionalText(body, 'reason')),
        };
        return operations.addQuarantine({ ...targetOf(body), ...more }, remote);
      },
    },
    {
      method: 'POST',
      url: '/v1/quarantine/remove',
      params: NO_PARAMS,
      body: objectSchema(TARGET, ['kind', 'name']),
      action: 'quarantine-remove',
      subject: subjectOf,
      run: ({ body, remote }) => operations.removeQuarantine(targetOf(body), remote),
    },
  ];
}

function subjectOf({ body }: AdminRequest): string {
  return `${text(body, 'kind')} ${text(body, 'name')}`;
}

function targetOf(body: AdminRequest['body']): QuarantineTarget {
  return { kind: text(body, 'kind'), name: text(body, 'name') };
}
