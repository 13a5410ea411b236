/** What real gateways hold after many connections have come and gone: catalogue row N12. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { changesOf } from '../soak/verdict.ts';
import { Churn } from '../support/churn.ts';
import { ResourceProbe, settled } from '../support/resources.ts';

/** The million of the catalogue is for `npm run soak`. */
const CONNECTIONS = 3_000;
const AT_ONCE = 32;

test(`N12: ${CONNECTIONS} connections of every kind come and go, and no descriptor, handle or stream is left`, async () => {
  using probe = new ResourceProbe();
  await using churn = await Churn.start(probe);
  const { east, west } = churn;
  const before = [await probe.take(east), await probe.take(west)] as const;
  await churn.connections(CONNECTIONS, AT_ONCE);
  assert.deepEqual([...churn.failed], []);
  for (const [index, gateway] of [east, west].entries()) {
    const was = before[index] ?? [];
    await settled(gateway, was);
    for (const now of await probe.take(gateway)) {
      const earlier = was.find(({ role }) => role === now.role);
      assert.ok(earlier !== undefined, `${now.role} was replaced`);
      assert.equal((earlier.objects['Stream'] ?? 0) > 0, /^\d$/.test(now.role), 'the links of a worker have streams');
      assert.deepEqual(changesOf(index === 0 ? 'east' : 'west', earlier, now), []);
    }
  }
});
