/**
 * Paths as policy reads them. Nothing is normalised: what is judged is what is forwarded, byte for byte, so whatever two
 * readers could take for different paths is refused, or matched by no pattern (security.md, F).
 */

/** Space, controls, DEL, everything beyond ASCII, and a fragment mark: none of them stands in a request target (RFC 9112 §3.2). */
const ILLEGAL_BYTE = /[^!-~]|#/;

/**
 * What services decode, collapse or cut in different ways: encoded separators, parameters, empty segments,
 * encoded controls, and escapes of escapes.
 */
const OBSCURE = /\/\/|;|%2f|%5c|%3b|%[01][0-9a-f]|%7f/i;

/** What is left of an escape that was itself written in escapes, such as `%25%32%65`, which is `.` to whoever decodes twice. */
const NESTED_ESCAPE = /%[0-9a-f]{2}/i;

/** `.` or `..` between separators; also `..;v=1`, which servlet containers take for `..`. */
const DOT_SEGMENT = /(?:^|[/\\])\.\.?(?:[/\\;]|$)/;

/** `/package.Service/Method`: the characters of protobuf names, and `-`, which hand-made services use. */
const GRPC_PATH = /^\/([A-Za-z0-9_.-]+)\/([A-Za-z0-9_.-]+)$/;

const ESCAPE = /%[0-9a-f]{2}/gi;

/** The path of a request target: all before the first `?`. */
export function withoutQuery(target: string): string {
  const query = target.indexOf('?');
  return query === -1 ? target : target.slice(0, query);
}

/**
 * Why a request target is refused whatever the policy says (400 `path-ambiguous`), or `undefined`. Asterisk form and
 * absolute form are refused too.
 */
export function pathProblem(target: string): string | undefined {
  if (!target.startsWith('/')) return `expected a path that starts with /, found ${quote(target)}`;
  if (ILLEGAL_BYTE.test(target)) return `expected printable ASCII without space and #, found ${quote(target)}`;
  const path = withoutQuery(target);
  // Nothing below is about a path without these.
  if (!path.includes('.') && !path.includes('%') && !path.includes('\\')) return undefined;
  if (path.includes('\\')) return `expected no backslash in a path, found ${quote(path)}`;
  const decoded = decode(path);
  if (decoded === undefined) return `expected percent escapes of valid UTF-8 in a path, found ${quote(path)}`;
  if (decoded.includes('\0')) return `expected no %00 in a path, found ${quote(path)}`;
  if (DOT_SEGMENT.test(decoded)) return `expected no dot segments in a path, found ${quote(path)}`;
  return undefined;
}

/**
 * Whether `path` (without query, free of problems) is among those that `pattern` stands for. `*` is one non-empty
 * segment, a final `**` any suffix, also none; all else is literal, upper and lower case apart, except in the hex
 * digits of escapes (RFC 3986 §6.2.2.1). Paths with `%2F`, `%5C`, `;` or empty segments match no pattern.
 */
export function matchesPath(pattern: string, path: string): boolean {
  return pathPattern(pattern)(path);
}

/** {@link matchesPath} for one pattern and many paths. */
export function pathPattern(pattern: string): (path: string) => boolean {
  const wanted = upperEscapes(pattern).split('/');
  const suffix = wanted.at(-1) === '**';
  if (suffix) wanted.pop();
  return (path) => {
    if (isObscure(path)) return false;
    // `/**` is every path.
    if (suffix && wanted.length === 1) return true;
    const found = upperEscapes(path).split('/');
    if (suffix ? found.length < wanted.length : found.length !== wanted.length) return false;
    return wanted.every((segment, index) => segment === found[index] || (segment === '*' && found[index] !== ''));
  };
}

/** What is wrong with a path pattern as written, or `undefined`. */
export function checkPathPattern(text: string): string | undefined {
  if (text.includes('?')) return 'patterns are over paths, without ? and query';
  const problem = pathProblem(text);
  if (problem !== undefined) return problem;
  if (isObscure(text)) return 'it matches nothing: %2F, %5C, ;, empty segments and escaped controls match no pattern';
  const segments = text.slice(1).split('/');
  for (const [index, segment] of segments.entries()) {
    if (segment === '**' && index < segments.length - 1) return '** stands at the end only';
    if (segment.includes('*') && segment !== '*' && segment !== '**') {
      return `a wildcard is a whole segment, found ${quote(segment)}`;
    }
  }
  return undefined;
}

/** `package.Service` and `Method` of a gRPC call's target; `undefined` when it is not exactly /Service/Method, without query. */
export function grpcMethodOf(target: string): { readonly service: string; readonly method: string } | undefined {
  const [, service, method] = GRPC_PATH.exec(target) ?? [];
  return service === undefined || method === undefined ? undefined : { service, method };
}

/** Whether a gRPC target is among those that `pattern` (`package.Service/Method`, `package.Service/*`) stands for. */
export function matchesGrpc(pattern: string, target: string): boolean {
  const called = grpcMethodOf(target);
  if (called === undefined) return false;
  return pattern === `${called.service}/${called.method}` || pattern === `${called.service}/*`;
}

/** What is wrong with a gRPC pattern as written, or `undefined`. */
export function checkGrpcPattern(text: string): string | undefined {
  const named = text.endsWith('/*') ? `${text.slice(0, -1)}Method` : text;
  if (grpcMethodOf(`/${named}`) !== undefined && pathProblem(`/${named}`) === undefined) return undefined;
  return `expected package.Service/Method or package.Service/*, found ${quote(text)}`;
}

/** `undefined` for a bad escape, overlong UTF-8 and lone surrogates alike. */
function decode(path: string): string | undefined {
  if (!path.includes('%')) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

function isObscure(path: string): boolean {
  if (!path.includes('%')) return path.includes('//') || path.includes(';');
  return OBSCURE.test(path) || NESTED_ESCAPE.test(decode(path) ?? '');
}

function upperEscapes(text: string): string {
  return text.includes('%') ? text.replaceAll(ESCAPE, (escape) => escape.toUpperCase()) : text;
}

/** Foreign text, cut so that it cannot flood a log. */
function quote(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}
