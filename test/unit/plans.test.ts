/** Judgements that plans remember: never another plan's, another method's or another kind of call's. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';

import { DEFAULT_LIMITS } from '../../federation/resources/limits.ts';
import { type AllowRule } from '../../federation/policy/rule.ts';
import { type Snapshot, type SnapshotExport, type SnapshotImport } from '../../federation/snapshot/snapshot.ts';
import { type EntryPoint } from '../../gateway/forward/entry-point.ts';
import { ExportPlan } from '../../gateway/forward/export-plan.ts';
import { ImportPlan } from '../../gateway/forward/import-plan.ts';
import { judge, type Judgement } from '../../gateway/forward/judgement.ts';
import { PeerDestination, type PeerLinks } from '../../gateway/forward/peer-destination.ts';
import { ServiceDestination, type Services } from '../../gateway/forward/service-destination.ts';
import { readRequestFields } from '../../gateway/headers/request-fields.ts';
import { type Field } from '../../gateway/message/field.ts';
import { type RequestHead } from '../../gateway/message/head.ts';
import { field } from '../../gateway/message/names.ts';
import { NO_DISTRUST } from '../../trust-bundles/distrust/distrust.ts';
import { gatewayIdOf, parseSpiffeId, type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { testBudgets } from '../support/caller-budgets.ts';
import { headOf, textsOf } from '../support/call-heads.ts';
import { at, EU, EU_WEB, rule, US, US_WEB } from '../support/federation-values.ts';

const LINKS: PeerLinks = { pick: () => undefined };
const SERVICES: Services = { take: () => undefined, wait: () => undefined, leave: () => undefined };
const BUDGETS = testBudgets().budgets;
const HTTPS = field(':scheme', 'https');
const OUTBOUND: EntryPoint = { direction: 'outbound', listener: 'l', audience: 'trusted', from: 'caller' };
const INBOUND: EntryPoint = { direction: 'inbound', listener: 'jump', audience: 'trusted', from: 'link' };

const SNAPSHOT: Snapshot = {
  mesh: 'us',
  trustDomain: US,
  gatewayId: gatewayIdOf(US),
  generations: { trust: 1, policy: 1, imports: new Map() },
  limits: DEFAULT_LIMITS,
  linkMaxAgeMs: undefined,
  bundles: new Map(),
  tainted: new Set(),
  distrust: NO_DISTRUST,
  peers: new Map([['eu-west', { name: 'eu-west', trustDomain: EU, gatewayId: gatewayIdOf(EU), gateways: [] }]]),
  exports: new Map(),
  imports: new Map(),
  routes: [],
};

function exported(allow: readonly AllowRule[], parts: Partial<SnapshotExport> = {}): SnapshotExport {
  return {
    name: 'payments',
    protocol: 'grpc',
    backends: [],
    authority: undefined,
    serverNames: [],
    limits: {},
    allow,
    origin: at(1),
    ...parts,
  };
}

function imported(parts: Partial<SnapshotImport> = {}): SnapshotImport {
  return {
    name: 'orders',
    peer: 'eu-west',
    peerTrustDomain: EU,
    export: 'orders',
    hosts: ['orders.eu-west.mesh.internal'],
    protocol: 'http1',
    serverNames: [],
    listen: undefined,
    who: [US_WEB],
    state: 'active',
    origin: at(2),
    ...parts,
  };
}

function exportPlan(allow: readonly AllowRule[], caller: SpiffeId = EU_WEB, parts: Partial<SnapshotExport> = {}) {
  const from = { caller, peer: 'eu-west', gateway: gatewayIdOf(EU) };
  return new ExportPlan({
    snapshot: SNAPSHOT,
    exported: exported(allow, parts),
    ...from,
    entry: INBOUND,
    limits: DEFAULT_LIMITS,
    services: SERVICES,
  });
}

function importPlan(parts: Partial<SnapshotImport> = {}, caller: SpiffeId = US_WEB) {
  return new ImportPlan({
    snapshot: SNAPSHOT,
    imported: imported(parts),
    caller,
    entry: OUTBOUND,
    limits: DEFAULT_LIMITS,
    links: LINKS,
    budgets: BUDGETS,
  });
}

interface Asked {
  readonly method: string;
  readonly grpc: boolean;
  readonly protocol?: string | undefined;
}

function requestOf(path: Field, { method, grpc, protocol }: Asked): RequestHead {
  const type = grpc ? ([['content-type', 'application/grpc']] as const) : [];
  return { ...headOf(type, { method, ...(protocol === undefined ? {} : { protocol }) }), path };
}

function judged(plan: ExportPlan | ImportPlan, path: Field, asked: Asked): Judgement {
  const head = requestOf(path, asked);
  return judge(plan, head, readRequestFields(head));
}

/** What a judgement comes to. */
function outcomeOf(judgement: Judgement): string {
  const { rule: by, origin } = judgement.subject.facts;
  if (judgement.kind === 'admission') return `admitted by ${by} at ${origin}`;
  return `refused as ${judgement.reason} (${judgement.verdict}) at ${origin}`;
}

const GET: Asked = { method: 'GET', grpc: false };
const POST: Asked = { method: 'POST', grpc: false };
const GRPC: Asked = { method: 'POST', grpc: true };

test('the same path, method and kind of call is judged once', () => {
  const plan = exportPlan([rule({ peers: ['eu-west'] })]);
  const path = field(':path', '/a');
  assert.equal(judged(plan, path, GET), judged(plan, path, GET));
  const other = importPlan();
  assert.equal(judged(other, path, GET), judged(other, path, GET));
});

test('another method does not get a remembered verdict', () => {
  const plan = exportPlan([rule({ peers: ['eu-west'], what: { http: [{ methods: ['GET'] }] } })]);
  const path = field(':path', '/a');
  assert.equal(judged(plan, path, GET).kind, 'admission');
  assert.equal(judged(plan, path, { method: 'DELETE', grpc: false }).kind, 'refusal');
  assert.equal(judged(plan, path, { method: 'get', grpc: false }).kind, 'refusal');
  assert.equal(judged(plan, path, GET).kind, 'admission');
});

test('a gRPC call does not get the verdict of one that is not, nor the other way round', () => {
  const plan = exportPlan([rule({ peers: ['eu-west'], what: { grpc: ['a.B/C'] } })]);
  const path = field(':path', '/a.B/C');
  for (const round of [1, 2]) {
    assert.equal(judged(plan, path, GRPC).kind, 'admission', `round ${round}`);
    assert.equal(judged(plan, path, POST).kind, 'refusal', `round ${round}`);
    assert.equal(judged(plan, path, { method: 'GET', grpc: true }).kind, 'refusal', `round ${round}`);
  }
});

test('another caller, export or snapshot of the same path does not get a remembered verdict', () => {
  const path = field(':path', '/a');
  const allowed = exportPlan([rule({ peers: ['eu-west'], who: [EU_WEB] })]);
  const stranger = exportPlan(
    [rule({ peers: ['eu-west'], who: [EU_WEB] })],
    parseSpiffeId('spiffe://eu-west.example.org/x'),
  );
  const hidden = exportPlan([rule({ peers: ['other'] })]);
  const later = exportPlan([]);
  for (const [plan, expected] of [
    [allowed, 'admitted by payments.allow[0] at mesh.yaml:1:1'],
    [stranger, 'refused as denied-by-export (denial) at mesh.yaml:1:1'],
    [hidden, 'refused as no-route (denial) at mesh.yaml:1:1'],
    [later, 'refused as no-route (denial) at mesh.yaml:1:1'],
    [importPlan({ who: [] }), 'refused as denied-by-import (denial) at mesh.yaml:2:1'],
    [importPlan(), 'admitted by orders.who[0] at mesh.yaml:2:1'],
    [allowed, 'admitted by payments.allow[0] at mesh.yaml:1:1'],
  ] as const) {
    assert.equal(outcomeOf(judged(plan, path, GET)), expected);
  }
});

test('another path of the same text is judged by itself, and a path of another text never by it', () => {
  const plan = exportPlan([rule({ peers: ['eu-west'], what: { http: [{ paths: ['/ok/**'] }] } })]);
  const good = field(':path', '/ok/a');
  const bad = field(':path', '/no/a');
  assert.equal(judged(plan, good, GET).kind, 'admission');
  assert.equal(judged(plan, bad, GET).kind, 'refusal');
  assert.equal(judged(plan, field(':path', '/ok/a'), GET).kind, 'admission');
  assert.equal(judged(plan, bad, GET).kind, 'refusal');
});

test('a WebSocket is judged as the GET that it is', () => {
  const plan = exportPlan([rule({ peers: ['eu-west'], what: { http: [{ methods: ['GET'] }] } })]);
  const path = field(':path', '/a');
  assert.equal(judged(plan, path, { method: 'CONNECT', grpc: false, protocol: 'websocket' }).kind, 'admission');
  const none = exportPlan([rule({ peers: ['eu-west'], what: { http: [{ methods: ['CONNECT'] }] } })]);
  assert.equal(judged(none, path, { method: 'CONNECT', grpc: false, protocol: 'websocket' }).kind, 'refusal');
});

test('an import that cannot be reached refuses after policy, and policy’s refusal comes first', () => {
  const path = field(':path', '/a');
  for (const [state, reason] of [
    ['withdrawn', 'import-withdrawn'],
    ['awaiting', 'import-awaiting'],
  ] as const) {
    assert.equal(outcomeOf(judged(importPlan({ state }), path, GET)), `refused as ${reason} (error) at mesh.yaml:2:1`);
    const denied = judged(importPlan({ state, who: [] }), path, GET);
    assert.equal(outcomeOf(denied), 'refused as denied-by-import (denial) at mesh.yaml:2:1');
  }
  assert.equal(judged(importPlan({ state: 'stale' }), path, GET).kind, 'admission');
  assert.equal(judged(importPlan({ peer: 'gone' }), path, GET).kind, 'refusal');
});

test('gRPC to an export of HTTP/1.1 is refused once policy has admitted it', () => {
  const path = field(':path', '/a.B/C');
  const plan = exportPlan([rule({ peers: ['eu-west'] })], EU_WEB, { protocol: 'http1' });
  assert.equal(judged(plan, path, POST).kind, 'admission');
  assert.equal(outcomeOf(judged(plan, path, GRPC)), 'refused as protocol-mismatch (error) at mesh.yaml:1:1');
});

const METHODS = ['GET', 'POST', 'PUT', 'CONNECT', 'get'];
const PATHS = ['/', '/ok', '/ok/a', '/ok/a?b', '/a.B/C', '/a.B/D', '/ok/../x', '//', '/%2f', '/ok/%00'];
const what = fc.record(
  {
    http: fc.array(
      fc.record(
        {
          methods: fc.subarray(METHODS),
          paths: fc.subarray(['/', '/ok', '/ok/**', '/*', '/ok/*']),
        },
        { requiredKeys: [] },
      ),
      { maxLength: 2 },
    ),
    grpc: fc.subarray(['a.B/C', 'a.B/*']),
  },
  { requiredKeys: [] },
);
const WHO = ['spiffe://eu-west.example.org/**', EU_WEB, 'spiffe://eu-west.example.org/ns/*/sa/api'];
const allowed = fc.array(
  fc
    .record(
      { peers: fc.subarray(['eu-west', 'other'], { minLength: 1 }), who: fc.subarray(WHO, { minLength: 1 }), what },
      { requiredKeys: ['peers'] },
    )
    .map((parts) => rule(parts)),
  { maxLength: 3 },
);
const CALLERS = [EU_WEB, parseSpiffeId('spiffe://eu-west.example.org/ns/shop/sa/api')];

test('whatever was asked before, a judgement is the one that a plan without memory makes', () => {
  const asked = fc.record({
    plan: fc.nat(5),
    path: fc.nat(PATHS.length - 1),
    method: fc.constantFrom(...METHODS),
    grpc: fc.boolean(),
    protocol: fc.constantFrom('websocket', undefined),
  });
  const protocols = fc.constantFrom('http1' as const, 'http2' as const, 'grpc' as const, 'tcp' as const);
  const states = fc.constantFrom('active' as const, 'stale' as const, 'withdrawn' as const, 'awaiting' as const);
  fc.assert(
    fc.property(
      fc.array(allowed, { minLength: 2, maxLength: 2 }),
      protocols,
      states,
      fc.array(asked, { maxLength: 40 }),
      (allows, protocol, state, questions) => {
        const make: readonly (() => ExportPlan | ImportPlan)[] = [
          ...CALLERS.flatMap((caller) => allows.map((allow) => () => exportPlan(allow, caller, { protocol }))),
          () => importPlan({ protocol, state }),
          () => importPlan({ protocol, who: ['spiffe://us-east.example.org/other'] }),
        ];
        const kept = make.map((each) => each());
        const paths = PATHS.map((text) => field(':path', text));
        for (const { plan, path, ...rest } of questions) {
          const shared = paths[path];
          const remembering = kept[plan];
          const fresh = make[plan]?.();
          if (shared === undefined || remembering === undefined || fresh === undefined) continue;
          const judgement = judged(remembering, shared, rest);
          const expected = judged(fresh, field(':path', shared.value), rest);
          assert.equal(outcomeOf(judgement), outcomeOf(expected));
          assert.equal(judgement.subject.facts.caller, expected.subject.facts.caller);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('to a peer goes who calls, where we are and what is left, whatever the caller claims', () => {
  const { peers } = SNAPSHOT;
  const peer = peers.get('eu-west');
  if (peer === undefined) throw new Error('there is a peer');
  const target = { peer, imported: imported(), caller: US_WEB, trustDomain: US, links: LINKS, budgets: BUDGETS };
  const destination = new PeerDestination(target);
  const authority = field(':authority', 'orders.eu-west.example.org');
  const claims = [
    ['accept', 'a'],
    ['jumpgate-caller', 'spiffe://us-east.example.org/root'],
    ['jumpgate-timeout', '1'],
    ['jumpgate-hops', 'x'],
  ] as const;
  const head = headOf(claims);
  const read = readRequestFields(head);
  read.forwardedHost = field('x-forwarded-host', 'orders.local');
  const sent = (leftMs: number) =>
    destination.requestHead({ head, read, leftMs: () => leftMs }, { authority, scheme: HTTPS });
  const expected = [
    ['accept', 'a'],
    ['jumpgate-caller', US_WEB],
    ['jumpgate-hops', US],
    ['x-forwarded-host', 'orders.local'],
  ];
  assert.deepEqual(textsOf(sent(99.5).fields), [...expected, ['jumpgate-timeout', '100']]);
  assert.deepEqual(
    textsOf(sent(50).fields),
    [...expected, ['jumpgate-timeout', '50']],
    'a second attempt adds nothing',
  );
  assert.deepEqual(textsOf(sent(Infinity).fields), expected);
  assert.deepEqual([sent(1).authority, sent(1).scheme], [authority, HTTPS]);
  read.grpc = true;
  assert.deepEqual(textsOf(sent(50).fields), [...expected, ['grpc-timeout', '50000u']]);
  assert.equal(new PeerDestination({ ...target, imported: imported({ state: 'stale' }) }).unreachable, 'import-stale');
});

test('to a service goes one identity, the caller’s, and no deadline but that of gRPC', () => {
  const gatewayId = gatewayIdOf(US);
  const target = { exported: exported([]), caller: EU_WEB, gatewayId, services: SERVICES, budget: undefined };
  const head = headOf([
    ['x-forwarded-client-cert', 'URI=spiffe://us-east.example.org/root'],
    ['jumpgate-caller', EU_WEB],
  ]);
  const read = readRequestFields(head);
  const authority = field(':authority', '127.0.0.1:9000');
  const sent = (leftMs: number, of = target) =>
    new ServiceDestination(of).requestHead({ head, read, leftMs: () => leftMs }, { authority, scheme: HTTPS });
  const expected = [['x-forwarded-client-cert', `By=${gatewayIdOf(US)};URI=${EU_WEB}`]];
  assert.deepEqual(textsOf(sent(100).fields), expected);
  assert.deepEqual(textsOf(sent(100).fields), expected, 'a second attempt adds nothing');
  assert.deepEqual([sent(100).authority, sent(100).scheme], [authority, HTTPS]);
  const declared = { ...target, exported: exported([], { authority: 'pay.internal' }) };
  assert.equal(sent(100, declared).authority.value, 'pay.internal');
  read.grpc = true;
  assert.deepEqual(textsOf(sent(100).fields), [...expected, ['grpc-timeout', '100000u']]);
  assert.deepEqual(textsOf(sent(Infinity).fields), expected);
});
