/** What the demo shows: each act says what it asks, plays it on real sockets, and knows what must come back. */
import { CALLERS } from './meshes.ts';
import { callLocally, type LocalAnswer } from './local-call.ts';
import { PaymentsClient } from './grpc-payments.ts';
import { rotateUnderCalls } from './rotation-act.ts';
import { type Stage } from './stage.ts';
import { connectAsStranger } from './stranger-act.ts';

/** How an act went. */
export interface Outcome {
  readonly came: readonly string[];
  readonly expected: boolean;
}

/** One act. */
export interface Act {
  readonly title: string;
  /** What must come back, in words. */
  readonly expectation: string;
  asked(stage: Stage): readonly string[];
  play(stage: Stage): Promise<Outcome>;
}

const ORDERS = 'orders.eu-west.mesh.internal';
const LEDGER = 'ledger.eu-west.mesh.internal';
const PAYMENTS = 'payments.us-east.mesh.internal';
const TICKS = 3;

/** In the order shown. */
export const ACTS: readonly Act[] = [
  httpAct({
    title: 'An HTTP call from us-east to eu-west',
    caller: 'web',
    listener: 0,
    method: 'GET',
    host: ORDERS,
    path: '/orders/1',
    expectation: 'status 200, and the service sees the caller',
    expected: ({ status, body }) => status === 200 && body.includes(`URI=${CALLERS.web}`),
  }),
  {
    title: 'A gRPC unary call from eu-west to us-east',
    expectation: 'the answer of Charge, with the caller in it',
    asked: (): readonly string[] => [`payments.v1.Payments/Charge "12 EUR" of ${PAYMENTS}, as ${CALLERS.checkout}`],
    play: async (stage: Stage): Promise<Outcome> => {
      using client = new PaymentsClient(stage.listener('eu', 0), PAYMENTS);
      const answer = await client.charge('12 EUR');
      return {
        came: [answer],
        expected: answer.startsWith('charged 12 EUR for ') && answer.includes(`URI=${CALLERS.checkout}`),
      };
    },
  },
  {
    title: 'A gRPC streaming call from eu-west to us-east',
    expectation: `${TICKS} ticks in order`,
    asked: (): readonly string[] => [
      `payments.v1.Payments/Watch of ${PAYMENTS}, as ${CALLERS.checkout}, until ${TICKS} messages have come`,
    ],
    play: async (stage: Stage): Promise<Outcome> => {
      using client = new PaymentsClient(stage.listener('eu', 0), PAYMENTS);
      const ticks = await client.ticks(TICKS);
      return { came: [ticks.join(', ')], expected: ticks.join() === 'tick 1,tick 2,tick 3' };
    },
  },
  httpAct({
    title: "Refused by the exporter's who: the export names web, not batch",
    caller: 'batch',
    listener: 1,
    method: 'GET',
    host: ORDERS,
    path: '/orders/1',
    expectation: 'status 403, denied-by-export',
    expected: ({ status, reason }) => status === 403 && reason === 'denied-by-export',
  }),
  httpAct({
    title: "Refused by the exporter's what: the export allows GET, not DELETE",
    caller: 'web',
    listener: 0,
    method: 'DELETE',
    host: ORDERS,
    path: '/orders/1',
    expectation: 'status 403, denied-by-export',
    expected: ({ status, reason }) => status === 403 && reason === 'denied-by-export',
  }),
  httpAct({
    title: 'A call to a service that eu-west does not export',
    caller: 'web',
    listener: 0,
    method: 'GET',
    host: LEDGER,
    path: '/',
    expectation: 'status 503, import-withdrawn',
    expected: ({ status, reason }) => status === 503 && reason === 'import-withdrawn',
  }),
  httpAct({
    title: 'Refused by the importer: us-east lets only the shop use eu-orders',
    caller: 'probe',
    listener: 2,
    method: 'GET',
    host: ORDERS,
    path: '/orders/1',
    expectation: 'status 403, denied-by-import',
    expected: ({ status, reason }) => status === 403 && reason === 'denied-by-import',
  }),
  {
    title: 'A third mesh that nobody registered dials us-east with a certificate of its own CA',
    expectation: 'the connection is closed before anything is answered',
    asked: (stage: Stage): readonly string[] => [
      `TLS to ${stage.jump} with the SVID spiffe://mallory.example.org/jumpgate`,
    ],
    play: async (stage: Stage): Promise<Outcome> => {
      const came = await connectAsStranger(stage.jump, stage.clock);
      return { came: [came.message], expected: came.refused };
    },
  },
  {
    title: 'From outside: a public HTTPS call to the edge of us-east becomes a call to eu-west',
    expectation: 'status 200, and the service sees the edge as caller',
    asked: (stage: Stage): readonly string[] => [`curl https://${stage.edgeHost}/stock/7   (at ${stage.edge})`],
    play: async ({ edge, edgeHost, edgeCertificate }: Stage): Promise<Outcome> => {
      const answer = await callLocally({
        listener: edge,
        host: edgeHost,
        method: 'GET',
        path: '/stock/7',
        certificate: edgeCertificate,
      });
      const expected =
        answer.status === 200 && answer.body.includes('URI=spiffe://us-east.example.org/jumpgate/edge/public');
      return { came: shown(answer), expected };
    },
  },
  {
    title: 'Calls and a stream that go on while us-east rotates its root',
    expectation: 'the root changes, no call fails, and the stream goes on',
    asked: (): readonly string[] => [
      'jumpgate rotate -f us-east, with HTTP calls us-east to eu-west and a gRPC stream eu-west to us-east running',
    ],
    play: async (stage: Stage): Promise<Outcome> => rotateUnderCalls(stage, { orders: ORDERS, payments: PAYMENTS }),
  },
];

function httpAct(act: {
  readonly title: string;
  readonly caller: 'web' | 'batch' | 'probe';
  readonly listener: number;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly expectation: string;
  readonly expected: (answer: LocalAnswer) => boolean;
}): Act {
  const { title, expectation, host, method, path } = act;
  return {
    title,
    expectation,
    asked: (stage: Stage): readonly string[] => [
      `curl -X ${method} -H 'Host: ${host}' http://${stage.listener('us', act.listener)}${path}   (as ${CALLERS[act.caller]})`,
    ],
    play: async (stage: Stage): Promise<Outcome> => {
      const answer = await callLocally({ listener: stage.listener('us', act.listener), host, method, path });
      return { came: shown(answer), expected: act.expected(answer) };
    },
  };
}

function shown({ status, reason, body }: LocalAnswer): readonly string[] {
  const why = reason === undefined ? '' : `, jumpgate-reason: ${reason}`;
  return [`status ${status}${why}`, ...(body.trim() === '' ? [] : [body.trim()])];
}
