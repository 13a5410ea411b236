/** A stub of control or a worker: `control PLAN` binds what the plan says, `worker INDEX` answers each chunk with its pid. */
import { type Socket } from 'node:net';

import { asRecord } from '../../base/brand.ts';
import { systemClock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { ChildChannel } from '../../gateway/process/child-channel.ts';
import { type ProcessPlan } from './process-primary.ts';

const [role, argument = ''] = process.argv.slice(2);
const print = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const orphaned = (): never => process.exit(70);

if (role === 'worker') worker();
else await control(asRecord(JSON.parse(argument)) as unknown as ProcessPlan);

function worker(): void {
  const sockets = new Set<Socket>();
  let drains = false;
  let greeting = '';
  const over = (): void => {
    if (drains && sockets.size === 0) channel[Symbol.dispose]();
  };
  const channel = new ChildChannel({
    onConnection: (socket, listener) => {
      if (listener === 'refused') return false;
      sockets.add(socket);
      socket.on('data', (data) => answer(socket, data.toString()));
      socket.once('end', () => socket.end());
      socket.once('close', () => {
        sockets.delete(socket);
        over();
      });
      return true;
    },
    onRelay: (topic, bytes) => {
      greeting = `${topic} ${Buffer.from(bytes).toString()}`;
      channel.relay({ to: 'control', topic: 'heard' }, Buffer.from(argument));
    },
    onDrain: (deadlineMs) => {
      drains = true;
      over();
      systemClock.after(deadlineMs, () => {
        for (const socket of sockets) socket.destroy();
      });
    },
    onHangUp: () => print({ hangUp: Number(argument) }),
    onOrphaned: orphaned,
  });
  const answer = (socket: Socket, text: string): void => {
    if (text === 'lie') process.send?.({ kind: 'taken', id: 4_242_424 });
    else if (text === 'listen') process.send?.({ kind: 'listen', listeners: [], workers: 1, drainMs: 0 });
    else if (text === 'ready') channel.ready();
    else if (text === 'copy') process.send?.({ kind: 'copy', id: 0 });
    else if (text === 'fewer') channel.relay({ to: 'control', topic: 'fewer' }, Buffer.from(argument));
    else socket.write(text === 'greeting' ? greeting : String(process.pid));
  };
  channel.ready();
}

async function control(plan: ProcessPlan): Promise<void> {
  const channel = new ChildChannel({
    onConnection: (socket) => {
      socket.on('data', () => socket.write('control'));
      socket.once('end', () => socket.end());
      return true;
    },
    onProcesses: (processes) => print({ processes }),
    onRelay: (topic, bytes, from) => {
      print({ relay: topic, from, text: Buffer.from(bytes).toString() });
      if (topic === 'fewer') void channel.listen({ ...plan, workers: plan.workers - 1 });
    },
    onDrain: () => print({ readiness: 'off' }),
    onFinish: () => channel[Symbol.dispose](),
    onHangUp: () => print({ hangUp: 'control' }),
    onOrphaned: orphaned,
  });
  channel.relay({ to: 'workers', topic: 'greeting', retained: true }, Buffer.from('hello'));
  try {
    const bound = await channel.listen(plan);
    print({ bound });
    channel.ready();
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = 2;
    channel[Symbol.dispose]();
  }
}
