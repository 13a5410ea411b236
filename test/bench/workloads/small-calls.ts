/** The six workloads of small calls and bodies: by h2load. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { type JumpsWorkload } from '../bench.ts';
import { h2load, h2loadTimes } from '../load/h2load.ts';
import { type Service } from '../load/services.ts';
import { perCall } from '../measure/per-call.ts';

interface Shape {
  readonly name: string;
  readonly what: string;
  readonly service: Service;
  readonly connections: number;
  readonly streams: number;
  readonly bodyBytes?: number;
}

const SHAPES: readonly Shape[] = [
  { name: '1x1', what: '1 connection, 1 call at a time', service: 'small', connections: 1, streams: 1 },
  { name: '100x1', what: '100 connections, 1 call at a time each', service: 'small', connections: 100, streams: 1 },
  { name: '10x10', what: '10 connections × 10 streams', service: 'small', connections: 10, streams: 10 },
  { name: '10x100', what: '10 connections × 100 streams', service: 'small', connections: 10, streams: 100 },
  {
    ...{ name: '10x100-body', what: '10 × 100 with a 100-byte request body', service: 'small' },
    ...{ connections: 10, streams: 100, bodyBytes: 100 },
  },
  { name: '10x10-16k', what: '16 KiB response bodies, 10 × 10', service: 'large', connections: 10, streams: 10 },
];

/** All of them. */
export const smallCalls: readonly JumpsWorkload[] = SHAPES.map(({ bodyBytes, ...shape }) => ({
  ...shape,
  async measure(bench, jumps) {
    const { connections, streams } = shape;
    const { port, host } = jumps;
    const body: { bodyFile?: string } = {};
    if (bodyBytes !== undefined) {
      body.bodyFile = join(bench.running.directory(), 'body');
      writeFileSync(body.bodyFile, 'x'.repeat(bodyBytes));
    }
    const options = { running: bench.running, port, host, connections, streams, ...body };
    const measured = await perCall(bench, jumps, {
      width: connections * streams,
      calls: (requests) => h2load({ ...options, requests }),
      times: (requests) => h2loadTimes({ ...options, requests }),
    });
    return [measured];
  },
}));
