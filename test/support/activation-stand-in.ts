/** Stands in for a service manager: binds, runs `sh -c` programs one after another on the same socket, never accepts. */
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';

import { asRecord } from '../../base/brand.ts';

const [name = '', count = '', ...words] = process.argv.slice(2);
const server = createServer().listen({ host: '127.0.0.1', port: 0, backlog: 4_096 }, () => {
  const fd = Number(asRecord(asRecord(server)?.['_handle'])?.['fd']);
  const environment = { ...process.env, LISTEN_FDS: '1', LISTEN_FDNAMES: name };
  for (let run = 0; run < Number(count); run += 1) {
    // Blocks the event loop, so that this process never accepts. The shell becomes the program and keeps its pid.
    const { status } = spawnSync('sh', ['-c', 'LISTEN_PID=$$ exec "$@"', 'sh', ...words], {
      stdio: ['ignore', 'inherit', 'inherit', fd],
      env: environment,
    });
    if (status !== 0) process.exit(status ?? 1);
  }
  process.exit(0);
});
