/** The text of a JSON value as it was written, which a parsed number no longer tells (`1`, `1.0` and `1e0`). */

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/y;
const SPACE = /\s*/y;

/** The scalar that the member `name` of a top-level object was written as. `text` must be valid JSON. */
export function rawMember(text: string, name: string): string | undefined {
  let depth = 0;
  let at = 0;
  let last = '';
  let member = '';
  for (;;) {
    SPACE.lastIndex = at;
    at += SPACE.exec(text)?.[0].length ?? 0;
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text)?.[0];
    if (token === undefined) return undefined;
    at += token.length;
    if (depth === 1 && token === ':') member = last;
    else if (depth === 1 && last === ':' && JSON.parse(member) === name) return token;
    if (token === '{' || token === '[') depth += 1;
    else if (token === '}' || token === ']') depth -= 1;
    last = token;
  }
}
