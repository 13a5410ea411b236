/** Where calls enter, and who learns what there. */
import { type Audience } from '../refusal/refuse.ts';
import { type CallSubjectFacts } from '../telemetry/call-subject.ts';

/** A listener, an edge, or the jump port. */
export interface EntryPoint {
  readonly direction: CallSubjectFacts['direction'];
  readonly listener: string;
  readonly audience: Audience;
  /** Whose word `jumpgate-timeout` would be. */
  readonly from: 'caller' | 'link';
}
