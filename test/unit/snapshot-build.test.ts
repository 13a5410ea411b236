/** Snapshots: what they are made of, and what stands in the way. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { type ImportedCatalogue } from '../../federation/catalogue/imported.ts';
import { type Route } from '../../federation/resources/values.ts';
import { type BuiltSnapshot } from '../../federation/snapshot/build.ts';
import { CATALOGUE_STALE_AFTER_MS } from '../../federation/snapshot/import-state.ts';
import {
  catalogueOf,
  AP,
  at,
  bundleOf,
  EU,
  exportOf,
  importOf,
  peerOf,
  rule,
  storedPeer,
  US,
  US_WEB,
} from '../support/federation-values.ts';
import { build, bundles, catalogues, EU_PEER, NOW, typesOf, WHOLE } from '../support/snapshots.ts';

suite('a snapshot', () => {
  test('holds everything that a call needs and has no conditions when nothing is in the way', () => {
    const { snapshot, conditions } = build(WHOLE);
    assert.deepEqual(conditions, []);
    assert.equal(snapshot.mesh, 'us-east');
    assert.equal(snapshot.trustDomain, US);
    assert.deepEqual([...snapshot.bundles.keys()], [US, EU]);
    assert.deepEqual([...snapshot.exports.keys()], ['payments']);
    assert.deepEqual(snapshot.imports.get('eu-orders'), {
      name: 'eu-orders',
      peer: 'eu-west',
      peerTrustDomain: EU,
      export: 'orders',
      hosts: ['orders.eu-west.mesh.internal', 'orders.shop.internal'],
      protocol: 'http1',
      serverNames: [],
      listen: undefined,
      who: ['spiffe://us-east.example.org/**'],
      state: 'active',
      origin: at(20),
    });
  });

  test('survives structuredClone', () => {
    const { snapshot } = build(WHOLE);
    assert.deepEqual(structuredClone(snapshot), snapshot);
  });

  test('leaves out bundles of strangers and bundles under a wrong name', () => {
    const stored = new Map([...bundles(US, AP), [EU, bundleOf(AP)] as const]);
    const built = build(EU_PEER, { bundles: stored });
    assert.deepEqual([...built.snapshot.bundles.keys()], [US]);
    assert.deepEqual(typesOf(built), ['Peer/eu-west AwaitingBundle']);
  });
});

suite('an import', () => {
  const one = { ...EU_PEER, imports: [importOf('eu-orders')] };
  const stateOf = (built: BuiltSnapshot): string | undefined => built.snapshot.imports.get('eu-orders')?.state;

  test('awaits the bundle of its peer, whatever the peer announces', () => {
    const built = build(one, { bundles: bundles(US) });
    assert.equal(stateOf(built), 'awaiting');
    assert.equal(built.snapshot.imports.get('eu-orders')?.protocol, undefined);
    assert.deepEqual(typesOf(built), ['Peer/eu-west AwaitingBundle', 'Import/eu-orders AwaitingBundle']);
  });

  test('of a peer that is not registered is a condition', () => {
    const built = build({ imports: one.imports });
    assert.equal(stateOf(built), 'awaiting');
    assert.deepEqual(typesOf(built), ['Import/eu-orders UnknownPeer']);
  });

  test('awaits the first catalogue', () => {
    const built = build(one, { catalogues: new Map() });
    assert.equal(stateOf(built), 'awaiting');
    assert.deepEqual(typesOf(built), ['Import/eu-orders AwaitingCatalogue']);
  });

  test('is withdrawn when the peer does not export it, or with a protocol unknown here', () => {
    const gone = build(one, { catalogues: catalogues({ other: 'http1' }) });
    assert.equal(stateOf(gone), 'withdrawn');
    assert.deepEqual(typesOf(gone), ['Import/eu-orders NotExported']);
    const quic = build(one, { catalogues: catalogues({ orders: 'quic' }) });
    assert.equal(stateOf(quic), 'withdrawn');
    assert.match(quic.conditions[0]?.message ?? '', /it has "quic"/);
  });

  test('turns stale at the time that the build foretells', () => {
    const fresh = build(one);
    assert.equal(fresh.revisitAtMs, NOW + CATALOGUE_STALE_AFTER_MS);
    assert.equal(stateOf(build(one, { nowMs: NOW + CATALOGUE_STALE_AFTER_MS - 1 })), 'active');
    const stale = build(one, { nowMs: NOW + CATALOGUE_STALE_AFTER_MS });
    assert.equal(stateOf(stale), 'stale');
    assert.deepEqual(typesOf(stale), ['Import/eu-orders CatalogueStale']);
    assert.equal(stale.revisitAtMs, undefined);
  });
});

suite('connections', () => {
  const LISTEN = {
    address: { kind: 'tcp', host: '127.0.0.1', port: 5432 },
    caller: { kind: 'as', id: US_WEB },
    origin: at(21),
  } as const;
  const messageOf = (built: BuiltSnapshot): string | undefined => built.conditions[0]?.message;
  const announced = (protocol: string, serverNames?: readonly string[]): ReadonlyMap<string, ImportedCatalogue> => {
    const entry = { name: 'orders', protocol, ...(serverNames === undefined ? {} : { serverNames }) };
    return new Map([['eu-west', { ...catalogueOf({}, NOW), entries: new Map([['orders', entry]]) }]]);
  };
  const withListen = { ...EU_PEER, imports: [importOf('eu-db', { listen: LISTEN })] };
  const bare = { ...EU_PEER, imports: [importOf('eu-db')] };

  test('of an import have its listener, without the place it is written at, and the names that the peer announced', () => {
    const names = ['db.shop.example', '*.db.shop.example'];
    const { snapshot, conditions } = build(withListen, { catalogues: announced('tls', names) });
    assert.deepEqual(conditions, []);
    const found = snapshot.imports.get('eu-db');
    const { address, caller } = LISTEN;
    assert.deepEqual([found?.state, found?.protocol, found?.serverNames], ['active', 'tls', names]);
    assert.deepEqual(found?.listen, { address, caller });
    assert.deepEqual(structuredClone(snapshot), snapshot);
  });

  test('of an import without trust in its peer have no names', () => {
    const built = build(withListen, { catalogues: announced('tls', ['db.example']), bundles: bundles(US) });
    assert.deepEqual(built.snapshot.imports.get('eu-db')?.serverNames, []);
  });

  test('of an import whose names cannot be used are not there', () => {
    const { snapshot } = build(withListen, { catalogues: announced('tls', ['*']) });
    const { state, protocol, serverNames } = snapshot.imports.get('eu-db') ?? {};
    assert.deepEqual([state, protocol, serverNames], ['withdrawn', undefined, []]);
  });

  test('need listen, and calls have no use for it: a condition says which', () => {
    const tcp = build(bare, { catalogues: announced('tcp') });
    assert.deepEqual(typesOf(tcp), ['Import/eu-db ProtocolMismatch']);
    assert.equal(
      messageOf(tcp),
      'peer eu-west exports orders as tcp, which is reached by connecting to an address of its own: give the import one by listen',
    );
    assert.deepEqual(typesOf(build(withListen, { catalogues: announced('tcp') })), []);
    const grpc = build(withListen, { catalogues: announced('grpc') });
    assert.equal(
      messageOf(grpc),
      'peer eu-west exports orders as grpc, which is called by its host name through an outbound listener, so nothing is served at its listen address',
    );
    assert.deepEqual(typesOf(build(bare, { catalogues: announced('grpc') })), []);
  });

  test('through another listener are another policy, and the same one at another line is not', () => {
    const input = { catalogues: announced('tcp') };
    const first = build(withListen, input).snapshot;
    const moved = { ...LISTEN, origin: at(99) };
    const same = build({ ...EU_PEER, imports: [importOf('eu-db', { listen: moved })] }, { ...input, previous: first });
    assert.equal(same.snapshot, first);
    const other = { ...LISTEN, caller: { kind: 'mutual-tls' } } as const;
    const next = build({ ...EU_PEER, imports: [importOf('eu-db', { listen: other })] }, { ...input, previous: first });
    assert.ok(next.snapshot.generations.policy > first.generations.policy);
    assert.equal(next.snapshot.generations.trust, first.generations.trust);
  });

  test('are not carried from an edge', () => {
    const spec = { edge: 'public', hosts: ['db.example'], path: '/**', to: { kind: 'import', name: 'eu-db' } } as const;
    const route: Route = { kind: 'Route', name: 'r', spec, origin: at(40) };
    const built = build({ ...withListen, routes: [route] }, { catalogues: announced('tcp') });
    assert.deepEqual(typesOf(built), ['Route/r UnknownTarget', 'Route/r ProtocolMismatch']);
  });

  test('to an export have its names and limits', () => {
    const spec = { protocol: 'tls', serverNames: ['db.example'], limits: { connectionsPerBackend: 50 } } as const;
    const found = build({ exports: [exportOf('db', [], spec)] }).snapshot.exports.get('db');
    assert.deepEqual([found?.protocol, found?.serverNames, found?.limits], ['tls', ['db.example'], spec.limits]);
  });
});

suite('host names', () => {
  const hostsOf = (built: BuiltSnapshot, name: string): readonly string[] | undefined =>
    built.snapshot.imports.get(name)?.hosts;

  test('that two imports claim reach neither', () => {
    const built = build({
      ...EU_PEER,
      imports: [importOf('a', { alias: 'same.internal' }), importOf('b', { export: 'other', alias: 'same.internal' })],
    });
    assert.deepEqual(hostsOf(built, 'a'), ['orders.eu-west.mesh.internal']);
    assert.deepEqual(hostsOf(built, 'b'), ['other.eu-west.mesh.internal']);
    assert.deepEqual(typesOf(built).slice(0, 2), ['Import/a HostClash', 'Import/b HostClash']);
    const twice = build({ ...EU_PEER, imports: [importOf('a'), importOf('b')] });
    assert.deepEqual([hostsOf(twice, 'a'), hostsOf(twice, 'b')], [[], []]);
  });

  test('under a peer name are not taken over by an alias', () => {
    const thief = importOf('thief', { export: 'other', alias: 'orders.eu-west.mesh.internal' });
    const built = build({ ...EU_PEER, imports: [thief, importOf('owner')] });
    assert.deepEqual(hostsOf(built, 'owner'), ['orders.eu-west.mesh.internal']);
    assert.deepEqual(hostsOf(built, 'thief'), ['other.eu-west.mesh.internal']);
    assert.equal(typesOf(built)[0], 'Import/thief HostClash');
  });

  test('of gateways, of this machine, addresses and wildcards are refused as aliases', () => {
    const bad = [
      'peering.jumpgate',
      'localhost',
      'a.localhost',
      '10.0.0.1',
      '::1',
      '*.shop',
      'UP.shop',
      'a..b',
      '1.2',
      'x'.repeat(64),
    ];
    for (const alias of bad) {
      const built = build({ ...EU_PEER, imports: [importOf('eu-orders', { alias })] });
      assert.deepEqual(hostsOf(built, 'eu-orders'), ['orders.eu-west.mesh.internal'], alias);
      assert.deepEqual(typesOf(built), ['Import/eu-orders HostRefused'], alias);
    }
  });
});

suite('peers', () => {
  test('come from documents and from the store, and a document adopts the row of its name and domain', () => {
    const stored = [storedPeer('eu-west', EU), storedPeer('ap-south', AP)];
    const { snapshot, conditions } = build(EU_PEER, { storedPeers: stored, bundles: bundles(US, EU, AP) });
    assert.deepEqual(conditions, []);
    assert.equal(snapshot.peers.get('eu-west')?.gateways[0]?.host, 'gw.eu-west.example.org');
    assert.equal(snapshot.peers.get('ap-south')?.gateways[0]?.host, 'joined.ap-south.example.org');
  });

  test('of a document with another trust domain than the row are refused, and the row stays', () => {
    const built = build(EU_PEER, { storedPeers: [storedPeer('eu-west', AP)], bundles: bundles(US, EU, AP) });
    assert.equal(built.snapshot.peers.get('eu-west')?.trustDomain, AP);
    assert.deepEqual(typesOf(built), ['Peer/eu-west PeerRefused']);
    assert.match(
      built.conditions[0]?.message ?? '',
      /mesh.yaml:30:1 is not used: eu-west is registered with trust domain ap-south/,
    );
    assert.ok(!built.snapshot.bundles.has(EU));
  });

  test('may not share a trust domain, be of our own, or be called self', () => {
    const twin = build({ peers: [peerOf('eu-west', EU), peerOf('eu-twin', EU)] });
    assert.deepEqual([...twin.snapshot.peers.keys()], ['eu-west']);
    assert.deepEqual(typesOf(twin), ['Peer/eu-twin PeerRefused']);
    assert.deepEqual(typesOf(build({ peers: [peerOf('us-copy', US)] })), ['Peer/us-copy PeerRefused']);
    assert.deepEqual(typesOf(build({ peers: [peerOf('self', EU)] })), ['Peer/self PeerRefused']);
    assert.deepEqual(typesOf(build({}, { storedPeers: [storedPeer('self', EU)] })), ['Peer/self PeerRefused']);
  });

  test('that a document had adopted are no peers once the document is gone', () => {
    const { snapshot } = build({}, { storedPeers: [storedPeer('eu-west', EU, { source: 'yaml' })] });
    assert.equal(snapshot.peers.size, 0);
    assert.ok(!snapshot.bundles.has(EU));
  });

  test('that announce what cannot be used have a condition with the first reason', () => {
    const problem = { entry: 'db', code: 'protocol-unknown', message: 'expected http1' } as const;
    const catalogue = { ...catalogueOf({ orders: 'http1' }, NOW), problems: [problem] };
    const built = build(EU_PEER, { catalogues: new Map([['eu-west', catalogue]]) });
    assert.deepEqual(typesOf(built), ['Peer/eu-west EntryRefused']);
  });
});

test('references of exports and routes to what is not there are conditions with their place', () => {
  const to = { kind: 'import', name: 'nothing' } as const;
  const spec = { edge: 'public', hosts: ['shop.example'], path: '/**', to };
  const route: Route = { kind: 'Route', name: 'shop', origin: at(40), spec };
  const allow = [rule({ peers: ['mars'], who: ['spiffe://ap-south.example.org/**'], origin: at(6) })];
  const built = build({ exports: [exportOf('payments', allow)], routes: [route] });
  assert.deepEqual(
    built.conditions.map((condition) => [condition.resource, condition.type, condition.origin?.line]),
    [
      ['Export/payments', 'UnknownPeer', 6],
      ['Export/payments', 'UnknownTrustDomain', 6],
      ['Route/shop', 'UnknownTarget', 40],
      ['Route/shop', 'UnknownTarget', 40],
    ],
  );
});
