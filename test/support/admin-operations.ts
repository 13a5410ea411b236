/** Operations that answer with fixed values and write down what they were told, to stand behind a real admin server. */
import { JumpgateError } from '../../base/errors.ts';
import { type LogLevel } from '../../base/log.ts';
import {
  type GatewayOperations,
  type GatewayStatus,
  type PeerStatus,
  type ReloadResult,
  type RotationFinding,
} from '../../gateway/admin/operations.ts';

import {
  type JwtSvidRequest,
  type JwtSvidValidation,
  type JwtSvidVerdict,
} from '../../gateway/admin/operations-jwt.ts';

const AT = '2026-01-02T03:04:05.000Z';
export const FINGERPRINT = 'ab'.repeat(32);

export const PEER: PeerStatus = {
  name: 'eu-west',
  trustDomain: 'eu-west.example.org',
  gatewayId: 'spiffe://eu-west.example.org/jumpgate',
  origin: 'joined',
  state: 'active',
  gateways: ['gw.eu-west.example.org:15443'],
  linksOutbound: 2,
  linksInbound: 2,
  bundleSequence: '18446744073709551615',
  heartbeatAgeSeconds: 1,
  message: 'said \u001b[2J by a peer',
};

const RELOADED: ReloadResult = {
  result: 'applied',
  digest: 'f'.repeat(64),
  at: AT,
  problems: [],
  warnings: [],
  needsRestart: [],
};

const OWN_BUNDLE = {
  trustDomain: 'us-east.example.org',
  peer: 'self',
  sequence: '7',
  authorities: [{ fingerprint: FINGERPRINT, notAfter: AT, state: 'active' as const }],
  jwtKeys: [{ keyId: 'cd'.repeat(32), state: 'prepared' as const, publishedAt: AT, notAfter: AT }],
  notAfter: AT,
  profile: null,
  endpoint: null,
  authenticatedBy: null,
  fetchedAt: null,
  nextFetchAt: null,
  staleAt: null,
  stale: false,
  ignoredKeys: 0,
  refused: null,
  message: null,
};

const STATUS: GatewayStatus = {
  mesh: 'us-east',
  trustDomain: 'us-east.example.org',
  gatewayId: 'spiffe://us-east.example.org/jumpgate',
  identity: {
    source: 'workloadApi',
    from: 'unix:///run/spire/agent.sock',
    upstream: null,
    expiresAt: AT,
    message: 'workload-api-unavailable: nobody listens',
  },
  instance: 'i-1',
  version: '0.1.0',
  startedAt: AT,
  state: 'starting',
  pending: ['jump-listener'],
  listeners: [{ name: 'jump', kind: 'jump', address: '127.0.0.1:15443', caller: null }],
  processes: [],
  peers: [PEER],
  bundles: [
    OWN_BUNDLE,
    { ...OWN_BUNDLE, peer: 'eu-west', profile: 'link', fetchedAt: AT, nextFetchAt: AT, staleAt: AT, stale: true },
  ],
  exports: [],
  imports: [],
  conditions: [{ type: 'AwaitingBundle', severity: 'warning', subject: 'Peer/eu-west', message: 'no bundle yet' }],
  config: { directory: '/etc/jumpgate', digest: 'f'.repeat(64), lastReload: RELOADED },
};

/** Operations and what they were told. */
export class RecordedOperations implements GatewayOperations {
  readonly told: (readonly [name: string, what: unknown])[] = [];
  reloaded: ReloadResult = RELOADED;
  joined = true;
  findings: readonly RotationFinding[] = [];
  verdict: 'permit' | 'denial' = 'permit';
  #level: LogLevel = 'info';

  version = () => ({ version: '0.1.0', node: 'v24' });
  status = async () => STATUS;
  peers = async () => [PEER];
  exports = async () => [];
  imports = async () => [];
  links = async () => [];
  logLevel = () => this.#level;

  bundles = async () => [OWN_BUNDLE];

  bundleDocument = async (peer: string | undefined) => `{"keys":[],"peer":"${peer}"}`;

  acceptBundle = async (peer: string, fingerprints: readonly string[]) => {
    this.told.push(['acceptBundle', [peer, fingerprints]]);
    return this.#changed(peer, 'accept');
  };

  importBundle = async (peer: string, file: unknown) => {
    this.told.push(['importBundle', [peer, file]]);
    return this.#changed(peer, 'import');
  };

  #changed(peer: string, action: 'accept' | 'import') {
    const after = { sequence: '3', fingerprints: [FINGERPRINT] };
    return { peer, trustDomain: `${peer}.example.org`, action, before: null, after };
  }

  removePeer = async (name: string) => {
    this.told.push(['removePeer', name]);
    if (name === 'declared')
      throw new JumpgateError('peer-declared', 'peer declared stands in peers.yaml', { source: 'config' });
    if (name !== PEER.name) throw new JumpgateError('peer-unknown', `no peer ${name} here`, { source: 'caller' });
    return { name, trustDomain: PEER.trustDomain, linksClosed: 4 };
  };

  approvePeer = async (name: string) => {
    this.told.push(['approvePeer', name]);
    return PEER;
  };

  invite = async (request: { readonly peer: string; readonly trustDomain: string }) => {
    this.told.push(['invite', request]);
    return {
      id: 'i1',
      token: 'jg1.secret-token',
      peer: request.peer,
      trustDomain: request.trustDomain,
      fingerprint: FINGERPRINT,
      addresses: [{ address: 'gw:15443', reachable: 'unknown' as const, message: 'behind a load balancer' }],
      expiresAt: AT,
    };
  };

  join = async (request: unknown) => {
    this.told.push(['join', request]);
    return {
      joined: this.joined,
      steps: [
        { name: 'dns' as const, result: 'ok' as const, message: 'found' },
        { name: 'tcp' as const, result: this.joined ? ('ok' as const) : ('failed' as const), message: 'refused' },
      ],
      peer: this.joined ? 'eu-west' : null,
      trustDomain: this.joined ? 'eu-west.example.org' : null,
      fingerprint: FINGERPRINT,
      ourFingerprint: FINGERPRINT,
      awaitingApproval: false,
    };
  };

  reload = async () => {
    this.told.push(['reload', undefined]);
    return this.reloaded;
  };

  svid = async (request: { readonly id: string }) => {
    this.told.push(['svid', request]);
    const pem = (what: string): string => `-----BEGIN ${what}-----\nAA==\n-----END ${what}-----\n`;
    return {
      id: request.id,
      certificates: pem('CERTIFICATE'),
      key: pem('PRIVATE KEY'),
      bundle: pem('CERTIFICATE'),
      expiresAt: AT,
    };
  };

  issueJwtSvid = async (request: JwtSvidRequest) => {
    this.told.push(['issueJwtSvid', request]);
    return { id: request.id, token: 'header.claims.secret-signature', expiresAt: AT };
  };

  validateJwtSvid = async (request: JwtSvidValidation): Promise<JwtSvidVerdict> => {
    this.told.push(['validateJwtSvid', request]);
    if (request.token.startsWith('bad')) return { verdict: 'refused', code: 'expired', message: 'until 1' };
    const claims = { sub: 'spiffe://us-east.example.org/web', note: 'said \u202e by a stranger' };
    const { audience } = request;
    return {
      verdict: 'valid',
      id: claims.sub,
      audience: [audience],
      expiresAt: AT,
      keyFingerprint: FINGERPRINT,
      claims,
    };
  };

  rotateJwtKey = async () => {
    this.told.push(['rotateJwtKey', undefined]);
    return { activeKeyId: 'one', nextKeyId: 'two', nextSignsAt: AT, sequence: '8' };
  };

  rotate = async (options: unknown) => {
    this.told.push(['rotate', options]);
    return {
      phase: 'published' as const,
      activeFingerprint: FINGERPRINT,
      nextFingerprint: FINGERPRINT,
      sequence: '8',
      waitingFor: ['eu-west'],
      message: 'published, waiting for eu-west',
    };
  };

  rehearseRotation = async () => ({
    activeFingerprint: FINGERPRINT,
    nextFingerprint: null,
    sequence: '7',
    findings: this.findings,
  });

  explain = async (request: { readonly from: string; readonly to: string }) => {
    this.told.push(['explain', request]);
    const denied = this.verdict === 'denial';
    return {
      verdict: this.verdict,
      side: 'export' as const,
      from: request.from,
      to: request.to,
      peer: 'eu-west',
      reason: denied ? 'denied-by-export' : null,
      message: 'as it is',
      rule: denied ? null : 'payments.allow[0]',
      origin: 'exports.yaml:3:5',
      status: denied ? 403 : null,
      otherSide: 'eu-west may still refuse',
    };
  };

  quarantine = async () => [
    {
      kind: 'peer',
      name: 'eu-west',
      since: AT,
      until: null,
      reason: 'said \u001b[2J by somebody',
      by: 'unix',
    },
  ];

  addQuarantine = async (
    request: { readonly kind: string; readonly name: string; readonly reason?: string },
    by: string,
  ) => {
    this.told.push(['addQuarantine', request]);
    const { kind, name, reason = '' } = request;
    const isKept = name !== 'away';
    return {
      kind,
      name,
      since: AT,
      until: AT,
      reason,
      by,
      stored: isKept,
      message: isKept ? null : 'no peer away here',
    };
  };

  removeQuarantine = async (target: { readonly kind: string; readonly name: string }) => {
    this.told.push(['removeQuarantine', target]);
    if (target.name === 'nobody') throw new JumpgateError('not-found', 'not quarantined', { source: 'caller' });
    return target;
  };

  setLogLevel = (level: LogLevel) => {
    this.told.push(['setLogLevel', level]);
    this.#level = level;
  };
}

/** Keeps what is logged. */
export class RecordedLog {
  readonly lines: (readonly [level: string, message: string, fields: Readonly<Record<string, unknown>>])[] = [];
  debug = (message: string, fields = {}): void => void this.lines.push(['debug', message, fields]);
  info = (message: string, fields = {}): void => void this.lines.push(['info', message, fields]);
  warn = (message: string, fields = {}): void => void this.lines.push(['warn', message, fields]);
  error = (message: string, fields = {}): void => void this.lines.push(['error', message, fields]);
  with = (): this => this;
}
