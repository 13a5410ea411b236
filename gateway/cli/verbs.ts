/** Every verb, in the order of the help. */
import { bundlesVerb } from './bundles.ts';
import { checkVerb } from './check.ts';
import { completionVerb } from './completion.ts';
import { demoVerb } from './demo-verb.ts';
import { explainVerb } from './explain.ts';
import { exportsVerb } from './exports.ts';
import { helpVerb } from './help.ts';
import { importsVerb } from './imports.ts';
import { initVerb } from './init.ts';
import { inviteVerb } from './invite.ts';
import { joinVerb } from './join.ts';
import { linksVerb } from './links.ts';
import { logLevelVerb } from './log-level.ts';
import { peersVerb } from './peers.ts';
import { quarantineVerb } from './quarantine.ts';
import { reloadVerb } from './reload.ts';
import { rotateVerb } from './rotate.ts';
import { runVerb } from './run.ts';
import { statusVerb } from './status.ts';
import { svidVerb } from './svid.ts';
import { validateVerb } from './validate.ts';
import { versionVerb } from './version.ts';
import { type Verb } from './verb.ts';

/** What `jumpgate VERB` can be. */
export const VERBS: readonly Verb[] = [
  initVerb,
  runVerb,
  reloadVerb,
  validateVerb,
  inviteVerb,
  joinVerb,
  statusVerb,
  peersVerb,
  exportsVerb,
  importsVerb,
  bundlesVerb,
  checkVerb,
  linksVerb,
  svidVerb,
  rotateVerb,
  explainVerb,
  quarantineVerb,
  logLevelVerb,
  demoVerb,
  versionVerb,
  helpVerb,
  completionVerb,
];
