/** HTTP/1.1 in: kept connections with one call at a time, across both jumps. */
import { type JumpsWorkload } from '../bench.ts';
import { RawHttp1Calls } from '../load/raw-http1.ts';
import { perCall } from '../measure/per-call.ts';

const CONNECTIONS = 100;

/** 100 connections; the backend speaks HTTP/1.1 too. */
export const http1: JumpsWorkload = {
  name: 'http1',
  what: 'HTTP/1.1 in, 100 keep-alive connections, HTTP/1.1 to the backend',
  service: 'http1',
  async measure(bench, jumps) {
    using calls = await RawHttp1Calls.open(jumps.port, jumps.host, CONNECTIONS);
    const measured = await perCall(bench, jumps, {
      width: CONNECTIONS,
      calls: async (count) => count / (await calls.busy(count)).seconds,
      times: async (count) => {
        const { p50Us, p99Us } = await calls.busy(count);
        return { p50Us, p99Us };
      },
    });
    return [measured];
  },
};
