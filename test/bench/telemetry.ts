/** Times what telemetry costs a call, ns per call; prints and asserts nothing. */
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { AccessLineFormat } from '../../gateway/telemetry/access-line.ts';
import { openAccessLogLines } from '../../gateway/telemetry/access-log-lines.ts';
import { CallCounters } from '../../gateway/telemetry/call-counters.ts';
import { CallSubject, type EndedCall } from '../../gateway/telemetry/call-subject.ts';

const CALLS = 200_000;
/** As many as end in one turn of a busy gateway. */
const TURN = 256;

const subjects = Array.from(
  { length: 20 },
  (_, index) =>
    new CallSubject({
      direction: 'inbound',
      listener: 'jump',
      caller: `spiffe://eu-west.example.org/shop/web-${index}`,
      gateway: 'spiffe://eu-west.example.org/jumpgate',
      peer: 'eu-west',
      export: `payments-${index % 5}`,
      rule: 'payments.allow[0]',
      origin: 'exports.yaml:3:5',
    }),
);
const first = new CallSubject({ direction: 'edge', listener: 'public' });
const START_MS = systemClock.now();

/** Calls of 20 subjects, 100 in a millisecond, each of another duration, size and path. */
function callOf(index: number): EndedCall {
  return {
    subject: subjects[index % 20] ?? first,
    startedAtMs: START_MS + Math.floor(index / 100),
    durationMs: ((index * 7919) % 20_000) / 1000 + 0.1234,
    host: 'payments.shop.mesh.example',
    method: 'POST',
    target: `/payments.Ledger/Book${index % 977}?try=${index % 3}`,
    protocol: 'http2',
    status: 200,
    grpcStatus: 0,
    verdict: 'permit',
    reason: undefined,
    bytesIn: 100 + (index % 911),
    bytesOut: 200 + (index % 1913),
  };
}

const call0 = callOf(0);
const calls: readonly EndedCall[] = Array.from({ length: 10_000 }, (_, index) => callOf(index));
/** The same, such that neighbours share no host, status or verdict. */
const mixed: readonly EndedCall[] = calls.map((call, index) => ({
  ...call,
  host: `service-${index % 7}.shop.mesh.example`,
  status: index % 2 === 0 ? 200 : 403,
  grpcStatus: -1,
  verdict: index % 2 === 0 ? 'permit' : 'denial',
  reason: index % 2 === 0 ? undefined : 'denied-by-export',
}));

async function time(name: string, list: readonly EndedCall[], record: (call: EndedCall) => void): Promise<void> {
  let best = Infinity;
  for (let again = 0; again < 7; again++) {
    let busy = 0n;
    for (let done = 0; done < CALLS; done += TURN) {
      const start = process.hrtime.bigint();
      for (let index = 0; index < TURN; index++) record(list[(done + index) % list.length] ?? call0);
      busy += process.hrtime.bigint() - start;
      await new Promise((resolve) => setImmediate(resolve));
    }
    best = Math.min(best, Number(busy) / CALLS);
  }
  console.log(`${name.padEnd(58)} ${best.toFixed(0).padStart(6)} ns`);
}

/** With what is done between the turns: joining and encoding of what gathered. */
async function timeLog(name: string, list: readonly EndedCall[]): Promise<void> {
  const target = { kind: 'file', path: '/dev/null' } as const;
  await using log = await openAccessLogLines({ target, log: silentLog, clock: systemClock });
  let best = Infinity;
  for (let again = 0; again < 7; again++) {
    const start = process.cpuUsage();
    for (let done = 0; done < CALLS; done += TURN) {
      for (let index = 0; index < TURN; index++) log.record(list[(done + index) % list.length] ?? call0);
      await (done % (8 * TURN) === 0 ? log.flush() : new Promise((resolve) => setImmediate(resolve)));
    }
    await log.flush();
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, ((user + system) * 1000) / CALLS);
  }
  console.log(`${name.padEnd(58)} ${best.toFixed(0).padStart(6)} ns  (${log.dropped} dropped)`);
}

const format = new AccessLineFormat();
let length = 0;
const known = { peers: new Set(['eu-west']), exports: new Set(['payments-0', 'payments-1', 'payments-2']) };
const counters = new CallCounters({ known: () => known });
await time('nothing', calls, (call) => {
  length += call.bytesIn;
});
await time('counters', calls, (call) => counters.record(call));
await time('counters, half of the calls denied', mixed, (call) => counters.record(call));
await time('line', calls, (call) => {
  length += format.format(call).length;
});
await time('line, no neighbours alike', mixed, (call) => {
  length += format.format(call).length;
});
await timeLog('line, queued and written (processor time of the process)', calls);
await timeLog('the same, no neighbours alike', mixed);
console.log(`(${length})`);
