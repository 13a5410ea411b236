/** The JOSE header of a JWT-SVID (JWT-SVID §2): three members, and the algorithm before everything else. */
import { jwtAlgorithm, type JwtAlgorithm } from './algorithm.ts';
import { readObject } from './part.ts';
import { type JwtRejection, rejected, shown } from './rejection.ts';

/** What a header says. */
export interface JwtHeader {
  readonly kind: 'header';
  readonly algorithm: JwtAlgorithm;
  readonly keyId: string | undefined;
}

const KEY_ID_CHARS_MAX = 256;
/** JWT-SVID §2: whatever else stands in a header must not. */
const MEMBERS: ReadonlySet<string> = new Set(['alg', 'kid', 'typ']);

/** Reads the first part of a token. No URL or key in it is ever looked at: they are refused by name. */
export function readHeader(text: string): JwtHeader | JwtRejection {
  const header = readObject(text);
  if (header === undefined) {
    return rejected('token-malformed', 'expected the header to be a JSON object in base64url without padding');
  }
  const algorithm = jwtAlgorithm(header['alg']);
  if (algorithm === undefined) {
    return rejected(
      'algorithm-refused',
      `expected alg to be RS, ES or PS 256, 384 or 512, found ${shown(header['alg'])}`,
    );
  }
  for (const name of Object.keys(header)) {
    if (!MEMBERS.has(name)) {
      return rejected('header-refused', `expected no header but alg, kid and typ, found ${shown(name)}`);
    }
  }
  const { kid, typ } = header;
  if (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE') {
    return rejected('header-refused', `expected typ to be JWT or JOSE, found ${shown(typ)}`);
  }
  if (kid === undefined) return { kind: 'header', algorithm, keyId: undefined };
  if (typeof kid !== 'string' || kid === '' || kid.length > KEY_ID_CHARS_MAX) {
    return rejected('header-refused', `expected kid to be a text of 1 to ${KEY_ID_CHARS_MAX} characters`);
  }
  return { kind: 'header', algorithm, keyId: kid };
}
