/** Why a head was refused, with the limit in force where it was. */
import { type EarlyReason } from '../message/stream.ts';

/** Limits on the head of a message, as both engines have them. Sizes are bytes. */
export interface HeadLimits {
  readonly targetBytesMax: number;
  readonly headerBytesMax: number;
  readonly headerFieldsMax: number;
  readonly headerNameBytesMax: number;
}

/** The sentence for whom it may be told; `undefined` when the reason is no limit of these. */
export function beyondLimit(reason: EarlyReason, limits: HeadLimits): string | undefined {
  switch (reason) {
    case 'limit-target':
      return `the request target is over ${limits.targetBytesMax} bytes`;
    case 'limit-header-bytes':
      return `the header block is over ${limits.headerBytesMax} bytes, or a name in it over ${limits.headerNameBytesMax}`;
    case 'limit-header-fields':
      return `there are more than ${limits.headerFieldsMax} header fields`;
    default:
      return undefined;
  }
}
