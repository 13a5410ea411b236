/** `jumpgate quarantine` against a real admin server: what is sent, shown and refused. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { cliBench } from '../support/cli-bench.ts';

const ID = 'spiffe://eu-west.example.org/ns/*/sa/**';

test('targets are sent as they are written, with duration and reason, and what came of it is said', async () => {
  await using b = await cliBench();
  const added = await b.cli(['quarantine', 'add', ID, '--for', '2h', '--reason', 'leaked']);
  assert.deepEqual([added.code, added.err], [0, '']);
  assert.equal(added.out, `quarantined spiffe ${ID} until 2026-01-02T03:04:05.000Z\n`);
  await b.cli(['quarantine', 'add', 'key', 'AB:CD']);
  const away = await b.cli(['quarantine', 'add', 'peer', 'away']);
  assert.match(away.err, /^no peer away here\nthe store does not answer: it is in force at this gateway/);
  assert.equal((await b.cli(['quarantine', 'remove', 'export', 'payments'])).out, 'trusted again: export payments\n');
  assert.deepEqual(b.operations.told, [
    ['addQuarantine', { kind: 'spiffe', name: ID, forSeconds: 7_200, reason: 'leaked' }],
    ['addQuarantine', { kind: 'key', name: 'AB:CD' }],
    ['addQuarantine', { kind: 'peer', name: 'away' }],
    ['removeQuarantine', { kind: 'export', name: 'payments' }],
  ]);
  const { code, err } = await b.cli(['quarantine', 'remove', 'peer', 'nobody']);
  assert.deepEqual([code, /not quarantined/.test(err)], [1, true]);
});

test('the list shows what others wrote without what steers a terminal', async () => {
  await using b = await cliBench();
  for (const words of [[], ['list'], ['list', '-o', 'wide']]) {
    const { code, out } = await b.cli(['quarantine', ...words]);
    assert.equal(code, 0);
    assert.match(out, /^peer +eu-west +2026-01-02T03:04:05.000Z +- +said \ufffd\[2J by somebody/m);
  }
});

test('what is no target, or no word for it, is a usage error and asks nobody', async () => {
  await using b = await cliBench();
  for (const [words, message] of [
    [['add'], /expected spiffe:\/\/TD\/PATH, key FINGERPRINT, .* found nothing/],
    [['add', 'eu-west'], /found "eu-west"/],
    [['add', 'spiffe', ID], /found "spiffe spiffe:/],
    [['add', 'serial', '12'], /found "serial 12"/],
    [['add', ID, 'more'], /unexpected argument "more"/],
    [['list', 'peer'], /unexpected argument "peer"/],
    [['lift', 'peer', 'a'], /expected list, add or remove, found "lift"/],
    [['remove', 'peer', 'a', '--reason', 'x'], /--reason goes with add/],
    [['list', '--for', '1h'], /--for goes with add/],
    [['add', 'peer', 'a', '--for', 'ever'], /expected --for to be a duration/],
  ] as const) {
    const { code, err } = await b.cli(['quarantine', ...words]);
    assert.equal(code, 2, words.join(' '));
    assert.match(err, message);
  }
  assert.deepEqual(b.operations.told, []);
});
