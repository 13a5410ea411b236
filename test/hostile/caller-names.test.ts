/** Who may name a caller: what a peer's gateway claims on a link, and what of it a service sees (wire.md, catalogue G). */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Field } from '../../gateway/message/field.ts';
import { field } from '../../gateway/message/names.ts';
import { RecordedResponse } from '../support/http1-wire.ts';
import { send, valueOf } from '../support/client-call.ts';
import { http1Service, type Rig, startRig } from '../support/forward-rig.ts';

const LIMIT = { timeout: 20_000 };
const GATEWAY = 'spiffe://eu.test/jumpgate';
const HOPS = field('jumpgate-hops', 'us.test');

/** What a peer's gateway is told: the reason of a refusal, or the status. */
async function claim(rig: Rig, ...fields: readonly Field[]): Promise<string> {
  const { response, done } = send(rig.link, { authority: 'pay.eu.test', fields: [...fields, HOPS] });
  await done;
  return valueOf(response.head?.fields, 'jumpgate-reason') ?? String(response.head?.status);
}

const callers = (id: string): Field => field('jumpgate-caller', id);

test('G10: a peer names workloads of its own trust domain, and of no other', LIMIT, async () => {
  await using service = await http1Service((_request, response) => response.end());
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }]);
  assert.equal(await claim(rig, callers('spiffe://us.test/ns/shop/sa/web')), '200');
  for (const foreign of [
    'spiffe://eu.test/ns/shop/sa/web',
    GATEWAY,
    'spiffe://third.test/w',
    'spiffe://us.test.eu.test/w',
    'spiffe://us-test/w',
  ]) {
    assert.equal(await claim(rig, callers(foreign)), 'caller-foreign', foreign);
  }
  for (const malformed of [
    'spiffe://US.test/w',
    'SPIFFE://us.test/w',
    'spiffe://us.test:443/w',
    'spiffe://x@us.test/w',
    'spiffe://us.test/w?x',
    'spiffe://us.test/w#x',
    'spiffe://us.test/%77',
    'spiffe://us.test/../eu.test/w',
    'spiffe://us.test//w',
    'spiffe://us.test/w/',
    'spiffe://us.test/w,spiffe://eu.test/w',
    'spiffe://us.test/w spiffe://eu.test/w',
    'https://us.test/w',
    `spiffe://us.test/${'w'.repeat(2_048)}`,
  ]) {
    assert.equal(await claim(rig, callers(malformed)), 'caller-missing', malformed);
  }
  const [one, other] = [callers('spiffe://us.test/a'), callers('spiffe://us.test/b')];
  assert.equal(await claim(rig, one, other), 'header-malformed');
  assert.equal(await claim(rig, one, one), 'header-malformed');
});

test('a reserved path that a peer names is no workload, which a pattern of an export would match', LIMIT, async () => {
  await using service = await http1Service((_request, response) => response.end());
  const services = [{ name: 'pay', protocol: 'http1', port: service.port }] as const;
  await using rig = await startRig(services);
  const now = rig.edgeSnapshots.current();
  const exported = now.exports.get('pay');
  assert.ok(exported);
  const allow = [{ who: ['spiffe://us.test/**'], origin: exported.origin }];
  const exports = new Map([['pay', { ...exported, allow }]]);
  rig.edgeSnapshots.replace({ ...now, exports, generations: { ...now.generations, policy: 2 } });
  assert.equal(await claim(rig, callers('spiffe://us.test/ns/shop/sa/web')), '200');
  for (const reserved of ['/jumpgate', '/jumpgate/edge/public', '/jumpgate/x/y'])
    assert.equal(await claim(rig, callers(`spiffe://us.test${reserved}`)), 'denied-by-export', reserved);
});

test(
  'G2, G7: copies of the identity header by a peer, before and behind the body, never reach the service',
  LIMIT,
  async () => {
    const seen: { headers: readonly string[]; trailers: readonly string[] }[] = [];
    await using service = await http1Service((request, response) => {
      request.resume().once('end', () => {
        seen.push({ headers: request.rawHeaders, trailers: request.rawTrailers });
        response.end();
      });
    });
    await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }]);
    const forged = `By=${GATEWAY};URI=spiffe://us.test/admin`;
    const names = ['x-forwarded-client-cert', 'forwarded', 'jumpgate-assertion', 'jumpgate-peer', 'jumpgate-reason'];
    const copies = names.flatMap((name) => [field(name, forged), field(name, forged)]);
    const response = new RecordedResponse();
    const done = new Promise<void>((resolve) => (response.onEnd = resolve));
    const head = {
      method: field(':method', 'POST'),
      path: field(':path', '/'),
      authority: field(':authority', 'pay.eu.test'),
      scheme: field(':scheme', 'https'),
      protocol: undefined,
      fields: [callers('spiffe://us.test/ns/shop/sa/web'), HOPS, ...copies],
    };
    const sender = rig.link.open(head, false, response);
    sender?.write(Buffer.from('body'), false);
    sender?.finish([...copies, callers('spiffe://us.test/admin'), field('x-sum', '1')]);
    await done;
    assert.equal(response.head?.status, 200);
    const [{ headers, trailers } = { headers: [], trailers: [] }] = seen;
    const mine = headers.filter((_each, index) => headers[index - 1]?.toLowerCase() === 'x-forwarded-client-cert');
    assert.deepEqual(mine, [`By=${GATEWAY};URI=spiffe://us.test/ns/shop/sa/web`]);
    assert.ok(!headers.some((each) => /^(jumpgate-|forwarded$)/i.test(each)), headers.join());
    assert.deepEqual(trailers, ['x-sum', '1']);
  },
);
