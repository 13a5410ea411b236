/** Schemas of what a rule admits: HTTP methods, path patterns, gRPC methods. */
import { object, optional } from '../../base/config/object.ts';
import { list, parsed, type Schema, text } from '../../base/config/schema.ts';
import { checkGrpcPattern, checkPathPattern } from '../policy/path.ts';
import { type HttpWhat, type PathPattern, type What } from '../policy/rule.ts';

/** Security.md §3, request target. */
const PATH_CHARS_MAX = 8192;
/** So much of a bad pattern is shown. */
const SHOWN_CHARS_MAX = 200;

/** A path pattern. */
export const pathPattern: Schema<PathPattern> = parsed(
  text('a path such as /orders/* or /orders/**'),
  (value, { problem }) => {
    const found = value.length > PATH_CHARS_MAX ? 'no request target is as long' : checkPathPattern(value);
    if (found === undefined) return { value };
    const shown = JSON.stringify(value.slice(0, SHOWN_CHARS_MAX));
    return problem(`expected ${pathPattern.expected}, found ${shown}: ${found}`);
  },
);

const method: Schema<string> = parsed(
  text('an HTTP method in capitals, such as GET', { pattern: '^[A-Z][A-Z-]*$' }),
  (value, { node, place }) => (/^[A-Z][A-Z-]{0,31}$/.test(value) ? { value } : place.unexpected(node, method.expected)),
);

const grpcMethod: Schema<string> = parsed(
  text('a gRPC method package.Service/Method or package.Service/*'),
  (value, { node, place }) =>
    checkGrpcPattern(value) === undefined ? { value } : place.unexpected(node, grpcMethod.expected),
);

const http: Schema<HttpWhat> = parsed(
  object('methods and paths', { methods: optional(list(method)), paths: optional(list(pathPattern)) }),
  ({ methods, paths }) => ({
    value: { ...(methods === undefined ? {} : { methods }), ...(paths === undefined ? {} : { paths }) },
  }),
);

/** `what` of a rule. */
export const whatSchema: Schema<What> = parsed(
  object('what is admitted: http, grpc or both', { http: optional(list(http)), grpc: optional(list(grpcMethod)) }),
  (what, { problem }) => {
    if (what.http === undefined && what.grpc === undefined)
      return problem('expected http, grpc or both; leave "what" out to admit everything');
    return {
      value: {
        ...(what.http === undefined ? {} : { http: what.http }),
        ...(what.grpc === undefined ? {} : { grpc: what.grpc }),
      },
    };
  },
);
