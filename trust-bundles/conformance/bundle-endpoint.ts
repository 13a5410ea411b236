/** Judges a bundle endpoint by SPIFFE Federation and SPIFFE Trust Domain and Bundle, line by line; opens no socket. */
import { messageOf } from '../../base/errors.ts';
import { readBundleDocument } from '../bundle/document.ts';
import { trustDomainOf } from '../identity/spiffe-id.ts';
import { readEndpointUrl } from '../tls/endpoint-url.ts';
import { verifySvid } from '../verify/verify.ts';
import {
  keyIdVerdict,
  keysVerdict,
  mapVerdict,
  membersVerdict,
  privateProblem,
  type ReadDocument,
  readDocument,
  refreshHintVerdict,
  retiredVerdict,
  sequenceVerdict,
  typesVerdict,
  x509Verdict,
} from './document-lines.ts';
import { type Finding, firstOf, quoted, type Verdict, verdict } from './line.ts';
import { type Attempt, type EndpointObservation, type ExpectedEndpoint, type Visit } from './observation.ts';
import { publishedFirstVerdict, sequenceOverTime } from './over-time.ts';

/** RFC 9110 §15.4. */
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const TEMPORARY: ReadonlySet<number> = new Set([302, 303, 307]);
/** TLS alert 116 (RFC 8446 §6), as OpenSSL words it. */
const CERTIFICATE_DEMANDED = /certificate.required|alert number 116\b/i;
const CREDENTIALS_DEMANDED: ReadonlySet<number> = new Set([401, 403, 407]);

interface Facts {
  readonly observed: EndpointObservation;
  /** Where redirects ended. */
  readonly last: Visit;
  /** A text where there is none. */
  readonly document: ReadDocument | string;
}

interface Line {
  readonly line: string;
  readonly rule: string;
  readonly section: string;
  readonly judge: (facts: Facts) => Verdict;
}

const FD = 'SPIFFE Federation';
const TB = 'SPIFFE Trust Domain and Bundle';

const LINES: readonly Line[] = [
  { line: 'BS-1', rule: 'serves https', section: `${FD} §5`, judge: profile },
  { line: 'BS-2', rule: 'TLS as in Mozilla intermediate', section: `${FD} §5`, judge: tls },
  { line: 'BS-3', rule: 'a web certificate of its host', section: `${FD} §5.2.1`, judge: webCertificate },
  { line: 'BS-4', rule: 'a valid X509-SVID', section: `${FD} §5.2.2`, judge: svid },
  { line: 'BS-5', rule: 'no client authentication', section: `${FD} §5.2.1.3, §5.2.2.3`, judge: authentication },
  { line: 'BS-6', rule: 'GET returns the bundle', section: `${FD} §5.2.1.3, §5.2.2.3`, judge: get },
  { line: 'BS-7', rule: 'UTF-8, application/json', section: `${FD} §5.2.1.3, §5.2.2.3`, judge: encoding },
  { line: 'BS-8', rule: 'redirects are https and temporary', section: `${FD} §5.2.1.3, §5.2.2.3`, judge: redirects },
  { line: 'BS-9', rule: 'keys is present', section: `${TB} §4.1.3`, judge: ofDocument(keysVerdict) },
  {
    line: 'BS-10',
    rule: 'spiffe_sequence is an integer that rises',
    section: `${TB} §4.1.1`,
    judge: (facts) => sequenceOverTime(facts.observed.later, facts.last) ?? ofDocument(sequenceVerdict)(facts),
  },
  {
    line: 'BS-11',
    rule: 'spiffe_refresh_hint is an integer',
    section: `${TB} §4.1.2`,
    judge: ofDocument(refreshHintVerdict),
  },
  { line: 'BS-12', rule: 'kty and use, exactly', section: `${TB} §4.2.1, §4.2.2`, judge: ofDocument(typesVerdict) },
  {
    line: 'BS-13',
    rule: 'x509-svid: one CA certificate, no kid',
    section: 'X509-SVID §6.1',
    judge: ofDocument((document, { observed }) => x509Verdict(document, observed.trustDomain)),
  },
  { line: 'BS-14', rule: 'jwt-svid: kid', section: 'JWT-SVID §6.1', judge: ofDocument(keyIdVerdict) },
  { line: 'BS-15', rule: 'no undefined members in a key', section: `${TB} §4.2`, judge: ofDocument(membersVerdict) },
  {
    line: 'BS-16',
    rule: 'keys are published before use',
    section: `${FD} §4.1`,
    judge: ({ observed, last }) => publishedFirstVerdict(observed, last),
  },
  {
    line: 'BS-17',
    rule: 'retired keys leave',
    section: `${FD} §4.1`,
    judge: ofDocument((document, { observed }) => retiredVerdict(document, observed.nowMs)),
  },
  { line: 'BS-18', rule: 'bundle maps', section: `${TB} §5.1.1`, judge: ofDocument(mapVerdict) },
  { line: 'BS-19', rule: 'no private keys; GET and HEAD only; ETag', section: 'advice of Jumpgate', judge: manners },
];

/** One finding for each of BS-1 to BS-19. Whatever the server sent, nothing is thrown on account of it. */
export function judgeBundleEndpoint(observed: EndpointObservation): readonly Finding[] {
  const last = observed.visits.at(-1) ?? observed.visits[0];
  const { answer } = last;
  const isDocument = answer.kind === 'done' && answer.value.status === 200;
  const document = isDocument ? readDocument(answer.value.body) : 'no document came';
  const facts = { observed, last, document };
  return LINES.map(({ line, rule, section, judge }) => ({ line, rule, section, ...judge(facts) }));
}

/** Where a redirect of `visit` leads: a URL, what is wrong with it, or `undefined` for no redirect. */
export function redirectOf(visit: Visit): URL | string | undefined {
  if (visit.answer.kind === 'failed' || !REDIRECTS.has(visit.answer.value.status)) return undefined;
  const { location } = visit.answer.value.headers;
  if (location === undefined) return 'expected a location header, found none';
  const target = readEndpointUrl(location, new URL(visit.url), 'any-host');
  return target.kind === 'url' ? target.url : target.message;
}

function ofDocument(judge: (document: ReadDocument, facts: Facts) => Verdict): Line['judge'] {
  return (facts) => {
    const { document } = facts;
    if (typeof document !== 'string') return judge(document, facts);
    const came = facts.last.answer.kind === 'done' && facts.last.answer.value.status === 200;
    // One line says that it is no JSON; the others know nothing.
    return came && judge === keysVerdict ? verdict('fail', quoted(document)) : verdict('not-seen', 'no document');
  };
}

function profile({ observed }: Facts): Verdict {
  const { tls12, tls13, older, weak } = observed.handshakes;
  const agreed = [tls13, tls12, older, weak].find(({ kind }) => kind === 'done');
  if (agreed !== undefined) return verdict('pass', `TLS answers, judged as ${observed.profile}`);
  return verdict('fail', `expected TLS, found: ${quoted(reasonOf(tls13))}`);
}

function tls({ observed }: Facts): Verdict {
  const { tls13, tls12, older, weak } = observed.handshakes;
  if ([tls13, tls12, older, weak].every(({ kind }) => kind === 'failed')) return verdict('not-seen', 'no TLS at all');
  // Over TLS 1.2 a server that demands a certificate refuses with the alert that means anything.
  const demanded = demandsCertificate(observed.visits[0]);
  return firstOf(
    [
      older.kind === 'done' ? `expected TLS 1.0 and 1.1 to be refused, found ${quoted(older.value)}` : undefined,
      weak.kind === 'done' ? `expected suites of the intermediate list only, found ${quoted(weak.value)}` : undefined,
      tls13.kind === 'failed' ? `expected TLS 1.3, found: ${quoted(tls13.reason)}` : undefined,
      tls12.kind === 'failed' && !demanded
        ? `expected TLS 1.2 with an intermediate suite, found: ${quoted(tls12.reason)}`
        : undefined,
    ],
    'fail',
    verdict('pass', `${reasonOf(tls13)}; ${reasonOf(tls12)}; older versions and weak suites are refused`),
  );
}

function webCertificate({ observed: { profile: kind, web } }: Facts): Verdict {
  if (kind === 'https_spiffe') return verdict('not-applicable', 'profile https_spiffe');
  if (web === undefined) return verdict('not-seen', 'no certificate');
  if (web.host !== undefined) return verdict('fail', quoted(web.host));
  if (web.chain === undefined) return verdict('pass', 'names the host, and a trusted CA vouches for it');
  const { unknownIssuer, reason } = web.chain;
  return verdict(unknownIssuer && !web.authoritiesNamed ? 'warn' : 'fail', quoted(reason));
}

function svid({ observed }: Facts): Verdict {
  if (observed.profile === 'https_web') return verdict('not-applicable', 'profile https_web');
  const [first] = observed.visits;
  if (first.chain.kind === 'failed') return verdict('not-seen', 'no certificate');
  return svidOf(first, observed, observed.visits.at(-1) ?? first);
}

/** Whether the chain of `visit` is that of the endpoint, by the bundle that was given or by what `served` brought. */
function svidOf(visit: Visit, expected: ExpectedEndpoint, served: Visit): Verdict {
  if (visit.chain.kind === 'failed') return verdict('fail', quoted(visit.chain.reason));
  const domain = expected.spiffeId === undefined ? expected.trustDomain : trustDomainOf(expected.spiffeId);
  const body = served.answer.kind === 'done' ? served.answer.value.body : undefined;
  if (expected.bundle === undefined && domain !== expected.trustDomain)
    return verdict('not-seen', `a bundle of ${domain} has to vouch for it: give one`);
  const document = expected.bundle ?? body;
  if (document === undefined) return verdict('not-seen', 'no bundle to verify it with');
  try {
    const { bundle } = readBundleDocument(document, domain);
    const trust = { bundles: new Map([[domain, bundle]]), tainted: new Set<string>() };
    const found = verifySvid({ chain: visit.chain.value, trust, role: 'server', nowMs: expected.nowMs });
    if (found.kind === 'rejected') return verdict('fail', quoted(`${found.code}: ${found.message}`));
    if (expected.spiffeId !== undefined && found.id !== expected.spiffeId)
      return verdict('fail', `expected ${expected.spiffeId}, found ${quoted(found.id)}`);
    const by = expected.bundle === undefined ? 'the bundle that it serves itself' : 'the bundle given';
    return verdict('pass', `${quoted(found.id)}, by ${by}`);
  } catch (error) {
    return verdict('not-seen', `no bundle to verify it with: ${quoted(messageOf(error))}`);
  }
}

function authentication({ observed, last }: Facts): Verdict {
  if (observed.visits.some(demandsCertificate)) return verdict('fail', 'a client certificate is demanded');
  if (last.answer.kind === 'failed') return verdict('not-seen', 'no answer');
  const { status } = last.answer.value;
  if (CREDENTIALS_DEMANDED.has(status)) return verdict('fail', `status ${status} to a GET without credentials`);
  return verdict('pass', `status ${status} without a certificate or credentials`);
}

function demandsCertificate({ chain, answer }: Visit): boolean {
  return [chain, answer].some((tried) => tried.kind === 'failed' && CERTIFICATE_DEMANDED.test(tried.reason));
}

function get({ observed, last }: Facts): Verdict {
  if (last.chain.kind === 'failed' || demandsCertificate(last)) return verdict('not-seen', 'no connection');
  if (last.answer.kind === 'failed') return verdict('fail', quoted(last.answer.reason));
  const { status, headers } = last.answer.value;
  if (CREDENTIALS_DEMANDED.has(status)) return verdict('not-seen', 'credentials are demanded');
  const target = redirectOf(last);
  if (target !== undefined) return verdict('not-seen', 'a redirect that was not followed: check its target itself');
  if (status !== 200) return verdict('fail', `expected status 200, found ${status}`);
  const { age } = headers;
  if (age !== undefined && /^0*[1-9]/.test(age))
    return verdict('warn', `a cache answered, with an age of ${quoted(age)} s: is it the newest bundle?`);
  const failed = observed.later.filter(({ answer }) => answer.kind === 'failed' || answer.value.status !== 200).length;
  if (failed > 0) return verdict('fail', `${failed} of ${observed.later.length} later requests failed`);
  return verdict('pass', 'status 200');
}

function encoding({ last: { answer } }: Facts): Verdict {
  if (answer.kind === 'failed' || answer.value.status !== 200) return verdict('not-seen', 'no document');
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(answer.value.body);
  } catch {
    return verdict('fail', 'the body is not UTF-8');
  }
  const type = answer.value.headers['content-type'];
  const isJson = /^application\/json(?:\s*;\s*charset="?utf-8"?)?\s*$/i.test(type ?? '');
  return verdict(isJson ? 'pass' : 'warn', `UTF-8, content-type ${quoted(type)}`);
}

function redirects({ observed, last }: Facts): Verdict {
  const { visits } = observed;
  const targets = visits.map((visit) => ({ visit, target: redirectOf(visit) })).filter(({ target }) => target);
  if (targets.length === 0) return verdict('not-applicable', 'no redirect');
  for (const { target } of targets) if (typeof target === 'string') return verdict('fail', quoted(target));
  if (observed.profile === 'https_spiffe') {
    const wrong = visits.slice(1).map((visit) => svidOf(visit, observed, last));
    const found = wrong.find(({ outcome }) => outcome === 'fail');
    if (found !== undefined) return verdict('fail', `at the target: ${found.seen}`);
  }
  const permanent = visits.find(
    (visit) =>
      redirectOf(visit) !== undefined && visit.answer.kind === 'done' && !TEMPORARY.has(visit.answer.value.status),
  );
  if (permanent?.answer.kind === 'done')
    return verdict('warn', `a permanent redirect, status ${permanent.answer.value.status}`);
  const led = redirectOf(last) === undefined ? 'followed' : 'not followed';
  return verdict('pass', `${targets.length} temporary, ${led}: ${quoted(String(targets.at(-1)?.target))}`);
}

function manners({ observed, last, document }: Facts): Verdict {
  const leaked = typeof document === 'string' ? undefined : privateProblem(document);
  if (leaked !== undefined) return verdict('fail', leaked);
  const { answer } = last;
  if (answer.kind === 'failed' || answer.value.status !== 200) return verdict('not-seen', 'no document');
  const status = observed.post.kind === 'done' ? observed.post.value.status : undefined;
  return firstOf(
    [
      status !== undefined && status < 400 ? `expected a POST to be refused, found status ${status}` : undefined,
      answer.value.headers['etag'] === undefined ? 'no ETag' : undefined,
    ],
    'warn',
    verdict('pass', `no private members, an ETag, ${status ?? 'no answer'} to a POST`),
  );
}

function reasonOf(attempt: Attempt<string>): string {
  return attempt.kind === 'done' ? attempt.value : attempt.reason;
}
