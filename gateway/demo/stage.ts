/** Where the demo's acts play: both gateways, where they listen, and what an outside caller needs. */
import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { type GatewayProcess, listed } from './gateway-process.ts';

/** What a stage is made of. */
export interface StageParts {
  readonly us: GatewayProcess;
  readonly eu: GatewayProcess;
  /** PEM of the certificate of us-east's edge, and the host name in it. */
  readonly edgeCertificate: string;
  readonly edgeHost: string;
  readonly clock: Clock;
}

/** The stage. */
export interface Stage extends StageParts {
  /** `host:port` of an outbound listener, in the order of the Mesh document. */
  listener(mesh: 'us' | 'eu', index: number): string;
  /** `host:port` of us-east's edge. */
  readonly edge: string;
  /** `host:port` of us-east's jump listener. */
  readonly jump: string;
}

/** Reads from both gateways where they listen. */
export async function stageOf(parts: StageParts): Promise<Stage> {
  const bound = { us: await addresses(parts.us), eu: await addresses(parts.eu) };
  const find = (mesh: 'us' | 'eu', name: string): string => {
    const address = bound[mesh].get(name);
    if (address !== undefined) return address;
    throw new JumpgateError('demo-listener', `${mesh} has no listener ${name}`, { source: 'local' });
  };
  return {
    ...parts,
    listener: (mesh, index) => find(mesh, `outbound[${index}]`),
    edge: find('us', 'public'),
    jump: find('us', 'jump'),
  };
}

async function addresses(gateway: GatewayProcess): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const { name, address } of listed(await gateway.status(), 'listeners')) {
    if (typeof name === 'string' && typeof address === 'string') found.set(name, address);
  }
  return found;
}
