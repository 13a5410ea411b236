/** Schemas of what a rule admits: HTTP methods, path patterns, gRPC methods. */
import { object, optional } from '../../base/config/object.ts';
import { list, parsed, type Schema, text } from '../../base/config/schema.ts';
import { type HttpWhat, type PathPattern, type What } from '../policy/rule.ts';

/** Security.md §3, request target. */
const PATH_CHARS_MAX = 8192;

/** The problem of a path pattern, else `undefined`. */
export function pathPatternProblem(pattern: string): string | undefined {
  if (pattern.length > PATH_CHARS_MAX) return `expected a path of at most ${PATH_CHARS_MAX} characters`;
  if (!/^\/[\x21-\x7e]*$/.test(pattern))
    return 'expected a path that begins with "/", without spaces or other characters to be percent-encoded';
  if (/[?#]/.test(pattern)) return "expected a path without query and fragment: a call's query is not looked at";
  const segments = pattern.slice(1).split('/');
  for (const [index, segment] of segments.entries()) {
    if (segment === '.' || segment === '..') return 'expected no "." or ".." segments, they match no call';
    if (segment === '' && index < segments.length - 1) return 'expected no empty segments (//)';
    if (segment === '**' && index < segments.length - 1) return 'expected "**" only as the last segment';
    if (segment.includes('*') && segment !== '*' && segment !== '**')
      return 'expected "*" to be a whole segment: part of one is never matched by it';
  }
  return undefined;
}

/** A path pattern. */
export const pathPattern: Schema<PathPattern> = parsed(
  text('a path such as /orders/* or /orders/**'),
  (value, { problem }) => {
    const found = pathPatternProblem(value);
    return found === undefined ? { value } : problem(`${found}, found ${JSON.stringify(value)}`);
  },
);

const method: Schema<string> = parsed(
  text('an HTTP method in capitals, such as GET', { pattern: '^[A-Z][A-Z-]*$' }),
  (value, { node, place }) => (/^[A-Z][A-Z-]{0,31}$/.test(value) ? { value } : place.unexpected(node, method.expected)),
);

const GRPC = /^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*\/(?:\*|[A-Za-z_]\w*)$/;

const grpcMethod: Schema<string> = parsed(
  text('a gRPC method package.Service/Method or package.Service/*', { pattern: GRPC.source }),
  (value, { node, place }) => (GRPC.test(value) ? { value } : place.unexpected(node, grpcMethod.expected)),
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
