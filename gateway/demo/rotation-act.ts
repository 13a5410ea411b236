/** Rotates the root of us-east while calls cross in one direction and a stream is open in the other. */
import { sleep } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { listed, type GatewayProcess } from './gateway-process.ts';
import { callLocally } from './local-call.ts';
import { PaymentsClient } from './grpc-payments.ts';
import { type Stage } from './stage.ts';

/** Calls go on this long after the new root has been activated, on links that it has signed. */
const CALLS_AFTER = 20;
const TICKS_AFTER = 3;
const PAUSE_MS = 20;

/** How it went. */
interface Rotated {
  readonly came: readonly string[];
  readonly expected: boolean;
}

/** Plays the act. */
export async function rotateUnderCalls(
  stage: Stage,
  hosts: { readonly orders: string; readonly payments: string },
): Promise<Rotated> {
  const before = await activeRoot(stage.us);
  using client = new PaymentsClient(stage.listener('eu', 0), hosts.payments);
  const stream = client.watch();
  const ticks = { count: 0, problem: '' };
  stream.on('data', () => (ticks.count += 1));
  stream.on('error', (error: unknown) => (ticks.problem = messageOf(error)));
  const calls = { made: 0, failed: 0 };
  const callOnce = async (): Promise<void> => {
    calls.made += 1;
    const answer = await callLocally({
      listener: stage.listener('us', 0),
      host: hosts.orders,
      method: 'GET',
      path: '/orders/1',
    }).catch(() => undefined);
    if (answer?.status !== 200) calls.failed += 1;
    await sleep(stage.clock, PAUSE_MS, new AbortController().signal);
  };
  await stage.us.command('rotate');
  let after = before;
  while (after === before) {
    await callOnce();
    after = await activeRoot(stage.us);
  }
  const ticksThen = ticks.count;
  const until = calls.made + CALLS_AFTER;
  while (calls.made < until || (ticks.count < ticksThen + TICKS_AFTER && ticks.problem === '')) await callOnce();
  const problem = ticks.problem;
  stream.cancel();
  const came = [
    `root ${short(before)} -> ${short(after)}`,
    `${calls.made} calls us-east -> eu-west during the rotation, ${calls.failed} failed`,
    problem === '' ? `the stream eu-west -> us-east went on: ${ticks.count} ticks` : `the stream broke: ${problem}`,
  ];
  return { came, expected: calls.failed === 0 && problem === '' && after !== before };
}

/** Fingerprint of the root that signs now; '' when the gateway does not tell. */
async function activeRoot(gateway: GatewayProcess): Promise<string> {
  const bundles = parseJson(await gateway.command('bundles', ['-o', 'json']));
  for (const bundle of listed({ bundles }, 'bundles')) {
    if (bundle['peer'] !== 'self') continue;
    for (const { state, fingerprint } of listed(bundle, 'authorities')) {
      if (state === 'active' && typeof fingerprint === 'string') return fingerprint;
    }
  }
  return '';
}

function short(fingerprint: string): string {
  return fingerprint.slice(0, 16);
}
