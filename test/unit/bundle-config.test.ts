/** Configuration of bundle endpoints, ours and the peers': what is valid, and exactly what is said of the rest. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { loadResources } from '../../federation/resources/load.ts';
import { restartFields } from '../../federation/resources/restart.ts';
import { directory, doc, MESH, messages, setOf } from '../support/documents.ts';
import { webAuthority, webCertificate } from '../support/web-certificates.ts';

const authority = webAuthority();

function peer(endpoint: string): string {
  return doc('Peer', 'eu', `{ trustDomain: eu.example, bundleEndpoint: ${endpoint} }`);
}

function mesh(bundle: string): string {
  return doc('Mesh', 'us', `{ trustDomain: us.example, listeners: { bundle: ${bundle} } }`);
}

test('BC-2 BC-4 BC-6 BC-9: a profile takes exactly its own parameters, and the endpoint may be of another domain', async (t) => {
  const path = await directory(t, { 'mesh.yaml': MESH, 'ca.pem': authority.pem });
  const read = async (endpoint: string): Promise<unknown> => {
    await writeFile(join(path, 'x.yaml'), peer(endpoint));
    return setOf(await loadResources(path)).peers[0]?.spec.bundleEndpoint;
  };
  const url = 'https://e.example/';
  assert.deepEqual(await read(`{ url: ${url}, profile: https_web }`), { kind: 'https_web', url });
  assert.deepEqual(await read(`{ url: ${url}, profile: https_web, caFile: ca.pem, redirects: forbid }`), {
    kind: 'https_web',
    url,
    caFile: join(path, 'ca.pem'),
    redirects: 'forbid',
  });
  const spiffeId = 'spiffe://third.example/endpoint';
  assert.deepEqual(await read(`{ url: ${url}, profile: https_spiffe, spiffeId: ${spiffeId}, redirects: any-host }`), {
    kind: 'https_spiffe',
    url,
    spiffeId,
    redirects: 'any-host',
  });
  assert.deepEqual(await read('{ link: {} }'), { kind: 'link' });
});

const AT = 'x.yaml:4:50: spec.bundleEndpoint';

const WRONG: readonly (readonly [endpoint: string, message: string])[] = [
  ['{}', `${AT}: expected url and profile together, or link: {}`],
  ['{ url: https://e/ }', `${AT}: expected url and profile together, or link: {}`],
  ['{ profile: https_web }', `${AT}: expected url and profile together, or link: {}`],
  ['{ url: https://e/, profile: https_spiffe }', `${AT}: expected spiffeId with profile https_spiffe`],
  [
    '{ url: https://e/, profile: https_web, spiffeId: spiffe://eu.example/g }',
    `${AT}: expected no spiffeId with profile https_web, which is authenticated by its host`,
  ],
  [
    '{ url: https://e/, profile: https_spiffe, spiffeId: spiffe://eu.example/g, caFile: ca.pem }',
    `${AT}: expected no caFile with profile https_spiffe, which is authenticated by a trust bundle`,
  ],
  ['{ url: https://e/, link: {} }', `${AT}: expected either link or url with profile, found both`],
  ['{ redirects: forbid, link: {} }', `${AT}: expected either link or url with profile, found both`],
  [
    '{ url: https://e/, profile: https_web, redirects: always }',
    'x.yaml:4:100: spec.bundleEndpoint.redirects: expected one of forbid, same-host, any-host, found "always"',
  ],
  [
    '{ url: https://e/, profile: https_web, caFile: no.pem }',
    'x.yaml:1:1: spec.bundleEndpoint.caFile: no such file: no.pem',
  ],
  [
    '{ url: https://e/, profile: https_web, caFile: x.yaml }',
    'x.yaml:1:1: spec.bundleEndpoint.caFile: expected a PEM certificate in x.yaml, found none',
  ],
];

for (const [endpoint, message] of WRONG) {
  test(`BC-2 I14: bundleEndpoint ${endpoint} is refused`, async (t) => {
    const path = await directory(t, { 'mesh.yaml': MESH, 'x.yaml': peer(endpoint) });
    assert.deepEqual(messages(await loadResources(path), path), [message]);
  });
}

test('BC-3 I14: an endpoint URL with another scheme or a user name is refused', async (t) => {
  const path = await directory(t, { 'mesh.yaml': MESH });
  for (const url of ['http://e/', 'https://u@e/', 'https://u:p@e/', 'e.example', 'https://e/#x', 'spiffe://e/x']) {
    await writeFile(join(path, 'x.yaml'), peer(`{ url: "${url}", profile: https_web }`));
    assert.deepEqual(messages(await loadResources(path), path), [
      `x.yaml:4:57: spec.bundleEndpoint.url: expected an https URL such as https://gw.example.org:8443/, found "${url}"`,
    ]);
  }
});

const WEB = '{ profile: https_web, certificateFile: b.crt, keyFile: b.key, advertise: https://b.us.example/ }';

test('BS-1 BS-3: a web server of our bundle needs a certificate of the advertised host', async (t) => {
  const fitting = webCertificate(authority, ['b.us.example']);
  const path = await directory(t, { 'mesh.yaml': mesh(WEB), 'b.crt': fitting.cert });
  await writeFile(join(path, 'b.key'), fitting.key, { mode: 0o600 });
  assert.deepEqual(setOf(await loadResources(path)).mesh.spec.listeners.bundle.web, {
    certificateFile: join(path, 'b.crt'),
    keyFile: join(path, 'b.key'),
  });
  const other = webCertificate(authority, ['c.us.example']);
  await writeFile(join(path, 'b.crt'), other.cert);
  await writeFile(join(path, 'b.key'), other.key, { mode: 0o600 });
  assert.deepEqual(messages(await loadResources(path), path), [
    'mesh.yaml:1:1: spec.listeners.bundle.certificateFile: expected a certificate for b.us.example, found one for DNS:c.us.example',
  ]);
  await writeFile(join(path, 'b.key'), fitting.key, { mode: 0o600 });
  assert.match(messages(await loadResources(path), path).join(), /expected the private key of the certificate/);
});

test('BS-1: the profile of our endpoint takes exactly its own parameters', async (t) => {
  const path = await directory(t, {});
  const wrong = {
    '{ profile: https_web, advertise: https://b/ }':
      'expected certificateFile, keyFile and advertise with profile https_web',
    '{ profile: https_web, certificateFile: a, keyFile: b }':
      'expected certificateFile, keyFile and advertise with profile https_web',
    '{ certificateFile: a, keyFile: b }':
      'expected no certificateFile and keyFile with profile https_spiffe, which shows our SVID',
  };
  for (const [bundle, message] of Object.entries(wrong)) {
    await writeFile(join(path, 'mesh.yaml'), mesh(bundle));
    assert.deepEqual(messages(await loadResources(path), path), [`mesh.yaml:4:55: spec.listeners.bundle: ${message}`]);
  }
});

test('another profile of our endpoint waits for a restart', async (t) => {
  const pair = webCertificate(authority, ['b.us.example']);
  const path = await directory(t, { 'mesh.yaml': mesh('{ advertise: https://b.us.example/ }'), 'b.crt': pair.cert });
  await writeFile(join(path, 'b.key'), pair.key, { mode: 0o600 });
  const before = setOf(await loadResources(path));
  await writeFile(join(path, 'mesh.yaml'), mesh(WEB));
  assert.deepEqual(restartFields(before, setOf(await loadResources(path))), ['Mesh us: spec.listeners.bundle.profile']);
});

test('jump and bundle may share a port where the bundle has a host name of its own', async (t) => {
  const path = await directory(t, {});
  const said = async (jump: string, bundle: string): Promise<readonly string[]> => {
    const listeners = `{ jump: { address: 0.0.0.0:443, ${jump} }, bundle: { address: 0.0.0.0:443, ${bundle} } }`;
    await writeFile(join(path, 'mesh.yaml'), doc('Mesh', 'us', `{ trustDomain: us.example, listeners: ${listeners} }`));
    return messages(await loadResources(path), path);
  };
  const gw = 'advertise: [gw.us.example:443]';
  const expected =
    'mesh.yaml:1:1: spec.listeners.bundle.advertise: expected listeners.bundle.advertise with a host name of its own, since jump and bundle share a port';
  assert.deepEqual(await said(gw, 'advertise: https://b.us.example/'), []);
  assert.deepEqual(await said(gw, 'refreshHint: 1m'), [expected]);
  assert.deepEqual(await said(gw, 'advertise: https://192.0.2.1/'), [expected]);
  assert.deepEqual(await said(gw, 'advertise: "https://[2001:db8::1]/"'), [expected]);
  assert.deepEqual(await said(gw, 'advertise: https://GW.us.example/'), [
    `${expected}, found gw.us.example, which jump advertises too`,
  ]);
});
