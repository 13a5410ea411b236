/** The bench's own parts: goals, options, accounts of processes, and its callers against Node's servers. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer as createHttp1Server } from 'node:http';
import { constants, createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo } from 'node:net';
import test from 'node:test';
import { Worker } from 'node:worker_threads';

import { type Figure } from '../bench/bench.ts';
import { getBlock, GrpcBlocks, postBlock } from '../bench/load/blocks.ts';
import { RawCalls } from '../bench/load/raw-calls.ts';
import { RawHttp1Calls } from '../bench/load/raw-http1.ts';
import { cpuOf, peakRssOf, processTree, rssOf } from '../bench/measure/process-tree.ts';
import { quantile } from '../bench/measure/quantile.ts';
import { warmUp } from '../bench/measure/warm-up.ts';
import { parseOptions } from '../bench/options.ts';
import { verdictsOf } from '../bench/report/goals.ts';
import { figureTable, goalTable, markdownTable } from '../bench/report/table.ts';

const HOST = 'bench.example';

function figure(workload: string, competitor: string, value: number | undefined): Figure {
  return { workload, competitor, unit: 'µs/call', value };
}

/** A server of Node's, and what it was asked. */
async function nodeHttp2(
  answer: (stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>) => void,
): Promise<AsyncDisposable & { readonly port: number; readonly server: Http2Server }> {
  const server = createServer();
  server.on('stream', answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const closeServer = async (): Promise<void> => {
    server.close();
    await once(server, 'close');
  };
  return { port: (server.address() as AddressInfo).port, server, [Symbol.asyncDispose]: closeServer };
}

test('a goal at its factor is met, and a hair beyond it is missed by so many percent', () => {
  const verdict = (own: number): string | undefined =>
    verdictsOf([figure('10x10', 'jumpgate', own), figure('10x10', 'haproxy', 10)])[0]?.text;
  assert.equal(verdict(7), 'met');
  assert.equal(verdict(7.7), 'missed: 10 % above it');
});

test('a goal of a rate is missed from below', () => {
  const verdicts = verdictsOf([figure('tcp', 'jumpgate', 60), figure('tcp', 'haproxy', 100)]);
  assert.deepEqual(
    verdicts.map(({ met, text }) => ({ met, text })),
    [{ met: false, text: 'missed: 25 % below it' }],
  );
});

test('against several competitors the lowest counts', () => {
  const [verdict] = verdictsOf([
    figure('http1', 'jumpgate', 30),
    figure('http1', 'nginx', 40),
    figure('http1', 'haproxy', 20),
  ]);
  assert.equal(verdict?.ratio, 1.5);
});

test('a goal without both figures is not measured, and a workload that was not run has none', () => {
  const figures = [figure('tcp', 'jumpgate', undefined), figure('tcp', 'haproxy', 100)];
  assert.deepEqual(
    verdictsOf(figures).map(({ met, text }) => ({ met, text })),
    [{ met: undefined, text: 'not measured' }],
  );
  assert.match(goalTable(figures), /not measured/);
  assert.match(figureTable(figures), /not available/);
});

test('a table has one width for each column', () => {
  assert.equal(markdownTable(['a', 'long'], [['1234', '']]), '| a    | long |\n| ---- | ---- |\n| 1234 |      |\n');
});

test('options name workloads, groups, competitors and sizes, and refuse what is unknown', () => {
  const known = ['1x1', '100x1', '10x10', '10x100', '10x100-body', '10x10-16k', 'grpc'];
  const options = parseOptions(['small', '--only', 'haproxy,jumpgate', '--seconds', '0.5', '--no-write'], known);
  assert.deepEqual(options?.workloads, known.slice(0, 6));
  assert.deepEqual(options.only, ['haproxy', 'jumpgate']);
  assert.equal(options.sizing.seconds, 0.5);
  assert.equal(options.write, false);
  assert.equal(options.profile, false);
  assert.equal(parseOptions(['--help'], known), undefined);
  assert.throws(() => parseOptions(['grcp'], known), /found grcp/);
  assert.throws(() => parseOptions(['--seconds', '0'], known), /--seconds/);
});

test('a whole run is written with profiles, a part or a quick one only if asked', () => {
  const asked = (words: readonly string[]): readonly unknown[] => {
    const options = parseOptions(words, ['grpc']);
    return [options?.write, options?.profile];
  };
  assert.deepEqual(asked([]), [true, true]);
  assert.deepEqual(asked(['grpc']), [false, false]);
  assert.deepEqual(asked(['--quick']), [false, false]);
  assert.deepEqual(asked(['--quick', '--write']), [true, false]);
  assert.deepEqual(asked(['grpc', '--profile']), [false, true]);
  assert.deepEqual(asked(['--no-profile']), [true, false]);
});

test('a warm-up goes on until both its calls and its seconds have passed', async () => {
  const roundsOf = async (warmUpCalls: number, seconds: number): Promise<number> => {
    let rounds = 0;
    const load = async (): Promise<number> => {
      rounds += 1;
      return 10;
    };
    // Each round takes a second.
    await warmUp({ seconds, warmUpCalls }, load, { monotonic: () => rounds * 1000 });
    return rounds;
  };
  assert.deepEqual([await roundsOf(30, 1), await roundsOf(31, 1)], [3, 4]);
  assert.deepEqual([await roundsOf(1, 5), await roundsOf(1, 5.1)], [5, 6]);
});

test('quantiles are taken from sorted values, and of none are 0', () => {
  assert.equal(quantile([1, 2, 3, 4], 0.5), 3);
  assert.equal(quantile([1, 2, 3, 4], 1), 4);
  assert.equal(quantile([], 0.5), 0);
});

test('the accounts of a process grow with what it does, finer than ticks, and of none are empty', async () => {
  // A process of one thread: in one whose threads have ended, the ticks that include them come first.
  const spender = spawn('sh', ['-c', 'while :; do :; done']);
  await once(spender, 'spawn');
  const pid = spender.pid ?? 0;
  const seen = new Set<number>();
  while (cpuOf(pid) < 50_000) seen.add(cpuOf(pid));
  const path = `/proc/${pid}/schedstat`;
  const counted = existsSync(path) && !readFileSync(path, 'utf8').startsWith('0 ');
  assert.equal(
    [...seen].some((us) => us % 10_000 !== 0),
    counted,
  );
  assert.ok(rssOf(pid) > 0);
  assert.ok(peakRssOf(pid) >= rssOf(pid) / 2);
  assert.equal(processTree(pid)[0]?.pid, pid);
  spender.kill();
  await once(spender, 'close');
  assert.deepEqual(processTree(pid), []);
});

test('the time of threads and of processes that have ended is kept in the accounts', async () => {
  const spend = 'const end = process.cpuUsage().user + 100_000; while (process.cpuUsage().user < end);';
  const before = cpuOf(process.pid);
  const thread = new Worker(spend, { eval: true });
  await once(thread, 'exit');
  const afterThread = cpuOf(process.pid);
  assert.ok(afterThread - before >= 80_000, `${afterThread - before} µs`);
  const child = spawn(process.execPath, ['-e', spend]);
  await once(child, 'close');
  assert.ok(cpuOf(process.pid) - afterThread >= 80_000, `${cpuOf(process.pid) - afterThread} µs`);
});

test('gRPC calls are sound to node:http2, each with a path, a trace and a deadline, and their answers are counted', async () => {
  const paths = new Set<unknown>();
  const traces = new Set<unknown>();
  const bodies: number[] = [];
  await using server = await nodeHttp2((stream, headers) => {
    paths.add(headers[':path']);
    traces.add(headers['traceparent']);
    assert.equal(headers[':authority'], HOST);
    assert.equal(headers['content-type'], 'application/grpc');
    assert.equal(headers['te'], 'trailers');
    assert.equal(headers['grpc-timeout'], '5S');
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => (bytes += chunk.length));
    stream.on('end', () => {
      bodies.push(bytes);
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end('answer');
    });
  });
  const blocks = (): ((id: number) => Buffer) => {
    const made = new GrpcBlocks(HOST);
    return (id) => made.next(id);
  };
  using calls = await RawCalls.open({ port: server.port, connections: 2, blocks, bodyBytes: 205 });
  const { bytes } = await calls.busy(40, 4);
  assert.equal(bytes, 40 * 'answer'.length);
  assert.equal(paths.size, 40);
  assert.equal(traces.size, 40);
  assert.deepEqual(new Set(bodies), new Set([205]));
});

test('an upload larger than every window arrives whole', async () => {
  const size = 3 * 1024 * 1024 + 7;
  let bytes = 0;
  await using server = await nodeHttp2((stream) => {
    stream.on('data', (chunk: Buffer) => (bytes += chunk.length));
    stream.on('end', () => {
      stream.respond({ ':status': 200 });
      stream.end();
    });
  });
  const block = postBlock(HOST);
  using calls = await RawCalls.open({ port: server.port, connections: 1, blocks: () => () => block, bodyBytes: size });
  await calls.busy(1, 1);
  assert.equal(bytes, size);
});

test('calls that are not answered with 200, or that are reset, fail the run', async () => {
  await using server = await nodeHttp2((stream, { ':authority': host }) => {
    if (host === 'reset.example') {
      stream.close(constants.NGHTTP2_CANCEL);
      return;
    }
    stream.respond({ ':status': 503 });
    stream.end('no');
  });
  for (const [host, expected] of [
    ['reset.example', /reset with code 8/],
    ['refused.example', /not answered with 200/],
  ] as const) {
    const block = getBlock(host);
    using calls = await RawCalls.open({ port: server.port, connections: 1, blocks: () => () => block, bodyBytes: 0 });
    await assert.rejects(calls.busy(1, 1), expected);
  }
});

test('paced calls take the time that their pace asks for', async () => {
  await using server = await nodeHttp2((stream) => {
    stream.respond({ ':status': 200 });
    stream.end('x');
  });
  const block = getBlock(HOST);
  using calls = await RawCalls.open({ port: server.port, connections: 2, blocks: () => () => block, bodyBytes: 0 });
  calls.check();
  const { seconds } = await calls.paced(50, 500);
  assert.ok(seconds > 0.09, `took ${seconds} s`);
});

test('HTTP/1.1 calls count only answers of 200 with the expected content', async () => {
  let status = 200;
  const server = createHttp1Server((_request, response) => {
    response.writeHead(status, { 'content-length': 12 });
    response.end('jumpgate ok\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  {
    using calls = await RawHttp1Calls.open((server.address() as AddressInfo).port, HOST, 2);
    const { seconds } = await calls.busy(10);
    assert.ok(seconds > 0);
    status = 503;
    await assert.rejects(calls.busy(1), /expected 200 .*found HTTP\/1.1 503/);
  }
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});
