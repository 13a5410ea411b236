/** Admin routes of bundles, ours and the peers'. */
import { asList } from '../../base/brand.ts';
import { type GatewayOperations } from './operations.ts';
import { type AdminRequest, type AdminRoute, NAME_SCHEMA, NO_PARAMS, objectSchema, reading, text } from './route.ts';

const PARAMS = objectSchema({ name: NAME_SCHEMA }, ['name']);
/** SHA-256 of a certificate's DER; a bundle has 256 keys at most. */
const FINGERPRINTS = {
  type: 'array',
  items: { type: 'string', pattern: '^[0-9a-f]{64}$' },
  minItems: 1,
  maxItems: 256,
};

/** `GET /v1/bundles`, `/v1/bundle-map`, `/v1/bundles/:name/document`; `POST /v1/bundles/:name/accept` and `/import`. */
export function bundleRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  const changing = {
    method: 'POST',
    params: PARAMS,
    subject: ({ params }: AdminRequest) => text(params, 'name'),
  } as const;
  return [
    reading('/v1/bundles', () => operations.bundles()),
    {
      ...reading('/v1/bundle-map', async () => ({ document: await operations.bundleDocument(undefined) })),
      params: NO_PARAMS,
    },
    {
      ...reading('/v1/bundles/:name/document', () => undefined),
      params: PARAMS,
      run: async ({ params }) => ({ document: await operations.bundleDocument(text(params, 'name')) }),
    },
    {
      ...changing,
      url: '/v1/bundles/:name/accept',
      body: objectSchema({ fingerprints: FINGERPRINTS }, ['fingerprints']),
      action: 'bundle-accept',
      run: ({ params, body }) => operations.acceptBundle(text(params, 'name'), textsOf(body['fingerprints']) ?? []),
    },
    {
      ...changing,
      url: '/v1/bundles/:name/import',
      body: objectSchema({ document: { type: 'string', minLength: 2 }, fingerprints: FINGERPRINTS }, ['document']),
      action: 'bundle-import',
      run: ({ params, body }) =>
        operations.importBundle(text(params, 'name'), {
          document: text(body, 'document'),
          fingerprints: textsOf(body['fingerprints']),
        }),
    },
  ];
}

function textsOf(value: unknown): readonly string[] | undefined {
  return asList(value)?.flatMap((item) => (typeof item === 'string' ? [item] : []));
}
