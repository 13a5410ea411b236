/** What a key may be used for in TLS (RFC 5280 §4.2.1.12). */

/** What the presenter of a chain is in its TLS connection. */
export type PresenterRole = 'client' | 'server';

/** anyExtendedKeyUsage: satisfies us in CA certificates; a leaf names its purposes. */
export const ANY_PURPOSE = '2.5.29.37.0';

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/** The OID of the key purpose that `role` needs. */
export function purposeOf(role: PresenterRole): string {
  switch (role) {
    case 'client':
      return CLIENT_AUTH;
    case 'server':
      return SERVER_AUTH;
    default:
      return role satisfies never;
  }
}
