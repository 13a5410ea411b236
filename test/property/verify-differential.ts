/** Compares our verdicts with those of OpenSSL over many chains: `--count 100000 --seed 7`; prints what it found. */
import { parseArgs } from 'node:util';

import { compareWithOpenssl } from '../support/verify-differential.ts';

const { values } = parseArgs({
  options: { count: { type: 'string', default: '20000' }, seed: { type: 'string', default: '1' } },
});
const found = compareWithOpenssl({ count: Number(values.count), seed: Number(values.seed) });
console.log(`accepted by us alone, a key identifier being a hint: ${found.hintsAlone}`);
const ours = [...found.oursAlone].map(([code, count]) => `${code} ${count}`).join(', ');
console.log(`${found.chains} chains: ${found.bothAccept} accepted and ${found.bothRefuse} refused by both`);
console.log(`refused by us alone, by a stricter rule: ${ours}`);
for (const fault of found.faults) console.log(`fault: ${fault}`);
process.exitCode = found.faults.length === 0 ? 0 : 1;
