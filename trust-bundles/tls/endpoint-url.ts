/** The URLs that a bundle may be fetched from (SPIFFE Federation §5.2.1.1, §5.2.2.1). */

/** Longer than any real endpoint; bounds what a redirect can make us parse. */
const URL_CHARACTERS_MAX = 2_048;
/** Userinfo, even when empty, which WHATWG parsing would drop in silence. */
const USERINFO = /^https:\/*[^/?#]*@/i;

/** Whether redirects are followed, and how far: `same-host` keeps to the configured host. */
export type Redirects = 'forbid' | 'same-host' | 'any-host';

/** A parsed URL, or what is wrong with it. `base` resolves the target of a redirect, which stays on its host unless it may go to any. */
export function readEndpointUrl(
  text: string,
  base?: URL,
  redirects: Redirects = 'same-host',
): { readonly kind: 'url'; readonly url: URL } | { readonly kind: 'problem'; readonly message: string } {
  if (text.length > URL_CHARACTERS_MAX) return problem(`expected at most ${URL_CHARACTERS_MAX} characters`);
  const url = URL.parse(text, base?.href);
  if (url === null) return problem('expected an absolute https URL');
  if (url.protocol !== 'https:') return problem(`expected scheme https, found ${url.protocol.slice(0, -1)}`);
  if (url.username !== '' || url.password !== '' || USERINFO.test(text.trim())) {
    return problem('expected no user name or password in the URL');
  }
  if (url.port === '0') return problem('expected a port from 1 to 65535, found 0');
  if (base !== undefined && redirects === 'forbid') return problem('expected no redirect: they are forbidden here');
  if (base !== undefined && redirects === 'same-host' && url.hostname !== base.hostname) {
    return problem(`expected a redirect within ${base.hostname}, found one to ${url.hostname}`);
  }
  return { kind: 'url', url };
}

function problem(message: string): { readonly kind: 'problem'; readonly message: string } {
  return { kind: 'problem', message };
}
