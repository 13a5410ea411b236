/** An embedded CA in a directory of its own, under a clock that tests move. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { silentLog } from '../../base/log.ts';
import { parseSpiffeId, trustDomainOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { type EmbeddedCa, type EmbeddedCaOptions } from '../../trust-bundles/source/embedded.ts';
import { openEmbeddedCa } from '../../trust-bundles/source/open-embedded-ca.ts';
import { ManualClock } from './manual-clock.ts';

/** Of the CA's own gateway. */
export const gatewayId = parseSpiffeId('spiffe://us.test/jumpgate');
const trustDomain = trustDomainOf(gatewayId);
/** A workload of its domain. */
export const web = parseSpiffeId('spiffe://us.test/ns/shop/sa/web');
export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;

/** Where the CA lives; `open` as often as it restarts. */
export interface CaRig extends AsyncDisposable {
  readonly directory: string;
  readonly file: string;
  readonly clock: ManualClock;
  open(options?: Partial<EmbeddedCaOptions>): Promise<EmbeddedCa>;
}

/** A rig without a CA yet. */
export async function caRig(): Promise<CaRig> {
  const parent = await mkdtemp(join(tmpdir(), 'jumpgate-ca-'));
  const directory = join(parent, 'ca');
  const clock = new ManualClock();
  return {
    directory,
    file: join(directory, 'embedded-ca.json'),
    clock,
    open: (options) => openEmbeddedCa({ directory, trustDomain, gatewayId, clock, log: silentLog, ...options }),
    [Symbol.asyncDispose]: () => rm(parent, { recursive: true, force: true }),
  };
}

/** Far more turns of the event loop than the writing of a file takes on a busy machine. */
const TURNS_MAX = 1_000_000;

/** Advances until `ready`, a minute at a time. A CA without a timer is at work on its files: it is waited for. */
export async function advanceUntil(clock: ManualClock, limitMs: number, ready: () => boolean): Promise<void> {
  for (let passedMs = 0; passedMs <= limitMs && !ready(); passedMs += MINUTE_MS) {
    clock.advance(MINUTE_MS);
    for (let turn = 0; turn < TURNS_MAX && clock.pending === 0; turn += 1) await new Promise(setImmediate);
  }
  assert.ok(ready(), 'the state was not reached in time');
}
