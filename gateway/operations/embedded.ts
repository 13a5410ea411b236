/** What only an embedded CA can do. */
import { JumpgateError } from '../../base/errors.ts';

/** Throws `no-embedded-ca` (source caller) where another source gives this gateway its identity. `what` it does, as a phrase. */
export function embeddedOnly<T>(part: T | undefined, what: string): T {
  if (part !== undefined) return part;
  throw new JumpgateError(
    'no-embedded-ca',
    `expected identity.embedded, which ${what}; this mesh takes its identity from elsewhere: ask its issuer there`,
    { source: 'caller' },
  );
}
