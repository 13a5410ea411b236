/** `jumpgate version`: of this command, and of the running gateway if one is named. */
import { readBuild } from './build.ts';
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { formatOf, print, textOf } from './output.ts';
import { LIVE_OPTIONS, type Verb } from './verb.ts';

/** Shows versions. */
export const versionVerb: Verb = {
  name: 'version',
  summary: 'show the version of this command, and of the gateway that -f or --admin names',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: LIVE_OPTIONS,
  run: async (context) => {
    formatOf(context);
    const build = readBuild();
    const named = context.given.text('file') !== undefined || context.given.text('admin') !== undefined;
    const gateway = named ? await (await openClient(context)).ask('GET', '/v1/version') : null;
    print(context, { ...build, gateway }, () => {
      const running =
        gateway === null ? '' : `gateway ${textOf(gateway, 'version')} (node ${textOf(gateway, 'node')})\n`;
      return `jumpgate ${build.version} (node ${build.node})\n${running}`;
    });
    return EXIT.ok;
  },
};
