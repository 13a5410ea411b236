/** `KIND DIRECTORY STEP`: writes state of that kind twice, and dies by SIGKILL before file operation STEP of the second time. */
import { promises as files } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';

import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { parseSpiffeId, trustDomainOf } from '../../trust-bundles/identity/spiffe-id.ts';

const [kind = '', directory = '', step = ''] = process.argv.slice(2);
let left = Infinity;

/** Makes calls of a method count, and the last one that is left kill. */
function count(target: object, name: string): void {
  const work: unknown = Reflect.get(target, name);
  if (typeof work !== 'function') throw new Error(`no method ${name}`);
  const counted = function (this: unknown, ...words: unknown[]): unknown {
    left -= 1;
    if (left < 0) process.kill(process.pid, 'SIGKILL');
    return Reflect.apply(work, this, words);
  };
  Reflect.set(target, name, counted);
}

await using probe = await files.open(process.execPath, 'r');
for (const name of ['chmod', 'writeFile', 'sync']) count(Reflect.getPrototypeOf(probe) ?? {}, name);
for (const name of ['open', 'rename']) count(files, name);
syncBuiltinESMExports();

/** Writes the first state, and returns what writes the second. */
async function writer(): Promise<() => Promise<unknown>> {
  const log = silentLog;
  if (kind === 'sequence') {
    const { OwnSequence } = await import('../../trust-bundles/source/own-sequence.ts');
    const own = new OwnSequence({ path: join(directory, 'own'), last: 9_999_999_998n, clock: systemClock, log });
    await own.next();
    return () => own.next();
  }
  if (kind === 'quarantine') {
    const { distrustCopy } = await import('../../trust-bundles/distrust/distrust-copy.ts');
    const copy = distrustCopy(join(directory, 'copy'), log);
    const record = { kind: 'peer', name: 'eu', sinceMs: 1, untilMs: undefined, reason: '', by: '' } as const;
    await copy.write([{ ...record, revision: 1, liftedMs: undefined }]);
    return () => copy.write([{ ...record, revision: 2, liftedMs: undefined }]);
  }
  const { openEmbeddedCa } = await import('../../trust-bundles/source/open-embedded-ca.ts');
  const gatewayId = parseSpiffeId('spiffe://us.test/jumpgate');
  const trustDomain = trustDomainOf(gatewayId);
  const ca = await openEmbeddedCa({ directory, gatewayId, trustDomain, clock: systemClock, log });
  return () => ca.prepareRoot();
}

const second = await writer();
left = Number(step);
await second();
process.stdout.write('done');
process.exit(0);
