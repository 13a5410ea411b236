/** Strict base64url (RFC 4648 §5, RFC 7515 §2): one spelling for one sequence of octets. */

/**
 * The octets that `text` encodes; `undefined` when it holds padding, white space, another alphabet's characters, or bits
 * beyond the last octet, all of which Buffer passes over.
 */
export function decodeBase64Url(text: string): Buffer | undefined {
  const octets = Buffer.from(text, 'base64url');
  return octets.toString('base64url') === text ? octets : undefined;
}
