/** Realistic gRPC: unary calls that differ in path, trace and bytes on the wire, each with a deadline. */
import { type JumpsWorkload } from '../bench.ts';
import { GrpcBlocks } from '../load/blocks.ts';
import { RawCalls } from '../load/raw-calls.ts';
import { perCall } from '../measure/per-call.ts';

const CONNECTIONS = 10;
const STREAMS = 10;
/** 200 bytes behind gRPC's prefix of five. */
const MESSAGE_BYTES = 205;

/** 10 connections × 10 calls at a time. */
export const grpc: JumpsWorkload = {
  name: 'grpc',
  what: 'gRPC: unary, 200-byte messages, unique path id, traceparent and deadline, 10 × 10',
  service: 'grpc',
  async measure(bench, jumps) {
    const blocks = (): ((id: number) => Buffer) => {
      const made = new GrpcBlocks(jumps.host);
      return (id) => made.next(id);
    };
    const { port } = jumps;
    using calls = await RawCalls.open({ port, connections: CONNECTIONS, blocks, bodyBytes: MESSAGE_BYTES });
    const measured = await perCall(bench, jumps, {
      width: CONNECTIONS * STREAMS,
      calls: async (count) => count / (await calls.busy(count, STREAMS)).seconds,
      times: async (count) => {
        const { p50Us, p99Us } = await calls.busy(count, STREAMS);
        return { p50Us, p99Us };
      },
    });
    return [measured];
  },
};
