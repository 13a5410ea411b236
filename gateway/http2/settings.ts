/** What the other end's SETTINGS say (RFC 9113 §6.5.2), and what ours do. */
import { ERROR_CODE } from '../message/error-code.ts';
import { FRAME_BYTES_DEFAULT, INT31_MAX, readUint32 } from './frame/frame-type.ts';
import { type FrameReader } from './frame/frame-reader.ts';
import { SETTING, SETTING_BYTES } from './frame/settings.ts';
import { type ConnectionLimits } from './limits.ts';

/** Where every window starts (RFC 9113 §6.9.2). */
export const WINDOW_BYTES_DEFAULT = 65_535;

/** The largest MAX_FRAME_SIZE. */
const FRAME_BYTES_LIMIT = 2 ** 24 - 1;

/** Streams that we open before the other end has said how many it takes. */
const STREAMS_ASSUMED = 100;

/** The other end's settings, as of the last frame. */
export class PeerSettings {
  headerTableBytes = 4096;
  streamsMax = STREAMS_ASSUMED;
  windowBytes = WINDOW_BYTES_DEFAULT;
  frameBytesMax = FRAME_BYTES_DEFAULT;
  connectProtocol = false;
  #seen = false;

  /** Takes a frame whose length has been checked. Returns an error of the connection, or 0. */
  take(frame: FrameReader, fromServer: boolean): number {
    // No value is no limit (RFC 9113 §6.5.2).
    if (!this.#seen) this.streamsMax = Infinity;
    this.#seen = true;
    for (let at = frame.start; at < frame.end; at += SETTING_BYTES) {
      const id = ((frame.bytes[at] ?? 0) << 8) | (frame.bytes[at + 1] ?? 0);
      const error = this.#set(id, readUint32(frame.bytes, at + 2), fromServer);
      if (error !== ERROR_CODE.noError) return error;
    }
    return ERROR_CODE.noError;
  }

  #set(id: number, value: number, fromServer: boolean): number {
    switch (id) {
      case SETTING.headerTableSize:
        this.headerTableBytes = value;
        return ERROR_CODE.noError;
      case SETTING.enablePush:
        return value > (fromServer ? 0 : 1) ? ERROR_CODE.protocolError : ERROR_CODE.noError;
      case SETTING.maxConcurrentStreams:
        this.streamsMax = value;
        return ERROR_CODE.noError;
      case SETTING.initialWindowSize:
        if (value > INT31_MAX) return ERROR_CODE.flowControlError;
        this.windowBytes = value;
        return ERROR_CODE.noError;
      case SETTING.maxFrameSize:
        if (value < FRAME_BYTES_DEFAULT || value > FRAME_BYTES_LIMIT) return ERROR_CODE.protocolError;
        this.frameBytesMax = value;
        return ERROR_CODE.noError;
      case SETTING.enableConnectProtocol:
        // Once announced it stands (RFC 8441 §3).
        if (value > 1 || (this.connectProtocol && value === 0)) return ERROR_CODE.protocolError;
        this.connectProtocol = value === 1;
        return ERROR_CODE.noError;
      default:
        return ERROR_CODE.noError;
    }
  }
}

/** What we announce. */
export function ownSettings(limits: ConnectionLimits, isServer: boolean): (readonly [number, number])[] {
  const common = [
    [SETTING.headerTableSize, limits.headerTableBytes],
    [SETTING.initialWindowSize, limits.streamWindowBytes],
    [SETTING.maxHeaderListSize, limits.headerBytesMax],
  ] as const;
  return isServer
    ? [...common, [SETTING.maxConcurrentStreams, limits.streamsMax], [SETTING.enableConnectProtocol, 1]]
    : [...common, [SETTING.enablePush, 0]];
}
