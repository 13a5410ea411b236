/** Why a call is refused: every reason code with its HTTP status, its gRPC code and its sentence, in one table. */

/** HTTP status, gRPC code (grpc/grpc statuscodes.md) and what an authenticated caller is told. */
export interface ReasonEntry {
  readonly status: number;
  readonly grpc: number;
  readonly message: string;
}

/** The table. The first three codes are the policy's own (federation/policy/verdict). */
export const REASONS = {
  'no-route': { status: 404, grpc: 5, message: 'no such service here' },
  'denied-by-export': { status: 403, grpc: 7, message: 'the exporting mesh does not allow this call' },
  'denied-by-import': { status: 403, grpc: 7, message: 'this mesh does not allow this caller to use the import' },
  quarantined: { status: 403, grpc: 7, message: 'the caller, the mesh or the service is quarantined here' },
  'peer-unavailable': { status: 503, grpc: 14, message: 'no link to the peer is up' },
  'import-awaiting': { status: 503, grpc: 14, message: 'the peer has not announced its exports yet' },
  'import-stale': { status: 503, grpc: 14, message: 'the peer is silent and could not be reached' },
  'import-withdrawn': { status: 503, grpc: 14, message: 'the peer does not export this service to this mesh' },
  'service-unavailable': { status: 503, grpc: 14, message: 'no backend of the service accepts connections' },
  'service-failed': { status: 502, grpc: 14, message: 'the service broke off before it answered' },
  'service-malformed': {
    status: 502,
    grpc: 13,
    message: 'the service answered what its protocol does not permit, or a head over the limits',
  },
  'link-failed': { status: 502, grpc: 14, message: 'the link broke off before the peer answered' },
  'link-refused': { status: 503, grpc: 14, message: 'the link closed before it took this call' },
  deadline: { status: 504, grpc: 4, message: 'no answer within the deadline' },
  loop: { status: 508, grpc: 9, message: 'the call has already crossed this mesh' },
  'limit-hops': { status: 508, grpc: 9, message: 'the call has crossed too many meshes' },
  'limit-header-bytes': { status: 431, grpc: 8, message: 'the header block, or a name in it, is too long' },
  'limit-header-fields': { status: 431, grpc: 8, message: 'there are too many header fields' },
  'limit-target': { status: 414, grpc: 8, message: 'the request target is too long' },
  'caller-missing': { status: 400, grpc: 16, message: 'expected exactly one jumpgate-caller with a SPIFFE ID' },
  'caller-foreign': { status: 403, grpc: 7, message: 'a gateway can name callers of its own trust domain only' },
  'authority-malformed': {
    status: 400,
    grpc: 3,
    message: 'expected one host name as authority, and no IP literal in brackets',
  },
  'authority-reserved': { status: 403, grpc: 7, message: 'names under .jumpgate are for gateways' },
  'target-malformed': { status: 400, grpc: 3, message: 'expected a path as request target' },
  'path-ambiguous': { status: 400, grpc: 3, message: 'the path is not in the one form that policy can judge' },
  'method-unsupported': { status: 405, grpc: 12, message: 'this method is not carried' },
  'upgrade-unsupported': { status: 501, grpc: 12, message: 'protocol upgrades are not carried' },
  'request-malformed': { status: 400, grpc: 3, message: 'the bytes are no request' },
  'version-unsupported': { status: 505, grpc: 12, message: 'HTTP/1.0 and HTTP/1.1 are spoken here' },
  'transfer-coding-unsupported': { status: 501, grpc: 12, message: 'chunked is the only transfer coding carried' },
  'expectation-unsupported': { status: 417, grpc: 12, message: '100-continue is the only expectation that can be met' },
  'headers-timeout': { status: 408, grpc: 4, message: 'the header block was not complete in time' },
  'header-malformed': { status: 400, grpc: 3, message: 'a header field contradicts another or cannot be sent on' },
  'deadline-malformed': { status: 400, grpc: 3, message: 'expected one grpc-timeout of 1 to 8 digits and a unit' },
  'protocol-mismatch': { status: 502, grpc: 12, message: 'the service does not speak the protocol of this call' },
  'client-hello-malformed': { status: 400, grpc: 3, message: 'the connection does not begin with a TLS ClientHello' },
  'server-name-unserved': { status: 404, grpc: 5, message: 'the service has no such server name' },
  'limit-body-rate': { status: 408, grpc: 4, message: 'the body of the request came too slowly' },
  'limit-backend-connections': {
    status: 503,
    grpc: 14,
    message: 'every backend of the service has as many connections as the export permits',
  },
  'limit-tunnel-idle': { status: 504, grpc: 4, message: 'nothing moved on the connection for too long' },
  'limit-caller-streams': { status: 429, grpc: 8, message: 'the caller has too many calls to this peer at once' },
  'limit-caller-resets': { status: 429, grpc: 8, message: 'the caller gave up too many calls; try again in 10 s' },
  draining: { status: 503, grpc: 14, message: 'this gateway is stopping' },
  'caller-gone': { status: 499, grpc: 1, message: 'the caller went away' },
} as const satisfies Readonly<Record<string, ReasonEntry>>;

/** A code of {@link REASONS}. */
export type ReasonCode = keyof typeof REASONS;

/** The code that `text` is, else `undefined`: for codes that come from a peer. */
export function reasonOf(text: string | undefined): ReasonCode | undefined {
  return text !== undefined && isReason(text) ? text : undefined;
}

/** What a reason that a peer's gateway gave says of the call: somebody said no, or something failed (5xx, or nobody waited). */
export function verdictOf(code: ReasonCode): 'denial' | 'error' {
  const { status } = entryOf(code);
  return status >= 499 && status !== 508 ? 'error' : 'denial';
}

/** The table's row. */
export function entryOf(code: ReasonCode): ReasonEntry {
  return REASONS[code];
}

function isReason(text: string): text is ReasonCode {
  return Object.hasOwn(REASONS, text);
}
