/** Links that go nowhere, for what only counts and picks them. */
import assert from 'node:assert/strict';

import { systemClock } from '../../base/clock.ts';
import { type DialledLink } from '../../gateway/link/dialled-link.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { testDomain, trustIn } from './trust.ts';

const domain = testDomain('eu.example');
const chain = domain.svid('/jumpgate').chain;
const verdict = verifySvid({ chain, trust: trustIn(domain), role: 'server', nowMs: systemClock.now() });

/** A link whose state the test sets. */
export interface FakeLink extends DialledLink {
  usable: boolean;
  leaving: boolean;
  leavesSoon: boolean;
  streams: number;
  close(): void;
}

/** A link to a worker of an instance. */
export function fakeLink(peer: string, instance: string, worker = 0, workers = 1): FakeLink {
  assert.equal(verdict.kind, 'verified');
  const { promise, resolve } = Promise.withResolvers<undefined>();
  return {
    peer,
    identity: verdict,
    instance,
    epoch: 1n,
    worker,
    workers,
    address: '',
    sinceMs: 0,
    term: { reproveAtMs: 0, replaceAtMs: 0, noNewCallsAtMs: 0, endsAtMs: 0 },
    usable: true,
    leaving: false,
    leavesSoon: false,
    streams: 0,
    closed: promise,
    going: promise,
    due: promise,
    reproves: true,
    open: () => undefined,
    ping: async () => 0,
    retire: () => undefined,
    destroy: () => undefined,
    close: () => resolve(undefined),
  };
}
