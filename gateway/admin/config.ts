/** Admin routes of the running configuration: reload and log level. */
import { LOG_LEVELS } from '../../base/log.ts';
import { type GatewayOperations } from './operations.ts';
import { type AdminRoute, NO_PARAMS, objectSchema, reading, text } from './route.ts';

/** `POST /v1/reload`, `GET` and `PUT /v1/log-level`. */
export function configRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [
    {
      method: 'POST',
      url: '/v1/reload',
      params: NO_PARAMS,
      body: objectSchema({}, []),
      action: 'reload',
      run: () => operations.reload(),
    },
    reading('/v1/log-level', () => ({ level: operations.logLevel() })),
    {
      method: 'PUT',
      url: '/v1/log-level',
      params: NO_PARAMS,
      body: objectSchema({ level: { type: 'string', enum: LOG_LEVELS } }, ['level']),
      action: 'log-level',
      subject: ({ body }) => text(body, 'level'),
      run: ({ body }) => {
        const level = LOG_LEVELS.find((known) => known === body['level']);
        if (level !== undefined) operations.setLogLevel(level);
        return { level: operations.logLevel() };
      },
    },
  ];
}
