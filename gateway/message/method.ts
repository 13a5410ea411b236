/** Which methods are carried (RFC 9110 §9.1), the same over each protocol. */

/** The longest registered one (UPDATEREDIRECTREF) has 17 characters. */
export const METHOD_BYTES_MAX = 32;

/**
 * Upper case as all registered methods are, though any token is allowed: methods are case-sensitive, and a service behind
 * us that folds case would take `get`, which no rule of policy admits or denies as GET, for GET.
 */
const METHOD = /^[A-Z][A-Z0-9_-]*$/;

/** Whether `text` is a method that is carried. */
export function isMethod(text: string): boolean {
  return text.length <= METHOD_BYTES_MAX && METHOD.test(text);
}
