/** Frames of the control stream as values, and the way from and to their protobuf messages. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';

import { JumpgateError } from '../../base/errors.ts';
import { catalogueEntry, type CatalogueEntry } from '../catalogue/service.ts';
import { FrameSchema, type Frame as FrameMessage } from './generated/peering_pb.js';

/** Versions of the protocol that this gateway speaks: since 2 entries have server names. */
export const PEERING_VERSIONS = { min: 1, max: 2 } as const;

/** Chunks of entries stay under half of it (`exporting.ts`); anything larger is not ours. */
export const FRAME_BYTES_MAX = 256 * 1024;

/** An entry that a receiver will not use, and why. */
export interface Rejection {
  readonly entry: string;
  readonly code: string;
  readonly message: string;
}

/** The first frame in each direction; `heldDigest` is '' when nothing is held. */
export interface OpenFrame {
  readonly kind: 'open';
  readonly versionMin: number;
  readonly versionMax: number;
  readonly trustDomain: string;
  readonly instance: string;
  readonly epoch: bigint;
  readonly heldDigest: string;
}

/** A chunk of a full catalogue; `count`, `digest` and `bundleSequence` mean something with `end` only. */
export interface SnapshotFrame {
  readonly kind: 'snapshot';
  readonly version: bigint;
  readonly entries: readonly CatalogueEntry[];
  readonly end: boolean;
  readonly count: number;
  readonly digest: string;
  readonly bundleSequence: bigint | undefined;
}

/** The change from the catalogue with `baseDigest`. */
export interface DeltaFrame {
  readonly kind: 'delta';
  readonly version: bigint;
  readonly baseDigest: string;
  readonly changed: readonly CatalogueEntry[];
  readonly removed: readonly string[];
  readonly digest: string;
  readonly bundleSequence: bigint | undefined;
}

/** Without rejections the whole version is refused and a snapshot asked for. */
export interface NackFrame {
  readonly kind: 'nack';
  readonly version: bigint;
  readonly code: string;
  readonly message: string;
  readonly rejections: readonly Rejection[];
}

/** Proof of life, with what the sender has applied and holds of ours. */
export interface HeartbeatFrame {
  readonly kind: 'heartbeat';
  readonly appliedVersion: bigint;
  readonly bundleSequence: bigint | undefined;
  readonly heldBundleSequence: bigint | undefined;
  readonly catalogueVersion: bigint;
  readonly catalogueDigest: string;
}

/** Everything that one gateway tells another. */
export type Frame =
  | OpenFrame
  | SnapshotFrame
  | DeltaFrame
  | { readonly kind: 'ack'; readonly version: bigint }
  | NackFrame
  | HeartbeatFrame
  | { readonly kind: 'bundle-nudge'; readonly sequence: bigint | undefined }
  | { readonly kind: 'terminated'; readonly tombstone: string };

/** The bytes of a frame. */
export function encodeFrame(frame: Frame): Buffer {
  return Buffer.from(toBinary(FrameSchema, create(FrameSchema, { kind: messageKind(frame) })));
}

/** Reads a frame; `undefined` is a kind of a newer version, to be ignored. Throws `frame-malformed`. */
export function decodeFrame(bytes: Uint8Array): Frame | undefined {
  if (bytes.length > FRAME_BYTES_MAX) {
    throw malformed(`expected a frame of at most ${FRAME_BYTES_MAX} bytes, found ${bytes.length}`);
  }
  let message: FrameMessage;
  try {
    message = fromBinary(FrameSchema, bytes);
  } catch (error) {
    throw malformed('expected a frame of jumpgate.peering.v1, found bytes that are none', error);
  }
  return frameOf(message.kind);
}

function malformed(message: string, cause?: unknown): JumpgateError {
  return new JumpgateError('frame-malformed', message, { source: 'peer', cause });
}

/** What `create` takes for the oneof. */
type KindInit = NonNullable<Extract<Parameters<typeof create<typeof FrameSchema>>[1], { kind?: unknown }>['kind']>;

function messageKind(frame: Frame): KindInit {
  switch (frame.kind) {
    case 'open': {
      const { versionMin, versionMax, trustDomain, instance, epoch, heldDigest } = frame;
      return { case: 'open', value: { versionMin, versionMax, trustDomain, instance, epoch, heldDigest } };
    }
    case 'snapshot': {
      const { version, end, count, digest } = frame;
      const value = { version, end, count, digest, entries: frame.entries.map(entryInit), ...sequence(frame) };
      return { case: 'snapshot', value };
    }
    case 'delta': {
      const { version, baseDigest, digest } = frame;
      const lists = { changed: frame.changed.map(entryInit), removed: [...frame.removed] };
      return { case: 'delta', value: { version, baseDigest, digest, ...lists, ...sequence(frame) } };
    }
    case 'ack':
      return { case: 'ack', value: { version: frame.version } };
    case 'nack': {
      const { version, code, message } = frame;
      return { case: 'nack', value: { version, code, message, rejections: [...frame.rejections] } };
    }
    case 'heartbeat': {
      const { appliedVersion, catalogueVersion, catalogueDigest, heldBundleSequence } = frame;
      const held = heldBundleSequence === undefined ? {} : { heldBundleSequence };
      const value = { appliedVersion, catalogueVersion, catalogueDigest, ...sequence(frame), ...held };
      return { case: 'heartbeat', value };
    }
    case 'bundle-nudge':
      return { case: 'bundleNudge', value: frame.sequence === undefined ? {} : { sequence: frame.sequence } };
    case 'terminated':
      return { case: 'terminated', value: { tombstone: frame.tombstone } };
    default:
      return frame satisfies never;
  }
}

function sequence(frame: { readonly bundleSequence: bigint | undefined }): { bundleSequence?: bigint } {
  return frame.bundleSequence === undefined ? {} : { bundleSequence: frame.bundleSequence };
}

function frameOf(kind: FrameMessage['kind']): Frame | undefined {
  switch (kind.case) {
    case undefined:
      return undefined;
    case 'open': {
      const { versionMin, versionMax, trustDomain, instance, epoch, heldDigest } = kind.value;
      return { kind: 'open', versionMin, versionMax, trustDomain, instance, epoch, heldDigest };
    }
    case 'snapshot': {
      const { version, entries, end, count, digest, bundleSequence } = kind.value;
      return { kind: 'snapshot', version, entries: entries.map(catalogueEntry), end, count, digest, bundleSequence };
    }
    case 'delta': {
      const { version, baseDigest, changed, removed, digest, bundleSequence } = kind.value;
      return {
        kind: 'delta',
        version,
        baseDigest,
        changed: changed.map(catalogueEntry),
        removed,
        digest,
        bundleSequence,
      };
    }
    case 'ack':
      return { kind: 'ack', version: kind.value.version };
    case 'nack': {
      const { version, code, message } = kind.value;
      const rejections = kind.value.rejections.map((one) => ({
        entry: one.entry,
        code: one.code,
        message: one.message,
      }));
      return { kind: 'nack', version, code, message, rejections };
    }
    case 'heartbeat': {
      const { appliedVersion, bundleSequence, heldBundleSequence, catalogueVersion, catalogueDigest } = kind.value;
      return {
        kind: 'heartbeat',
        appliedVersion,
        bundleSequence,
        heldBundleSequence,
        catalogueVersion,
        catalogueDigest,
      };
    }
    case 'bundleNudge':
      return { kind: 'bundle-nudge', sequence: kind.value.sequence };
    case 'terminated':
      return { kind: 'terminated', tombstone: kind.value.tombstone };
    default:
      return kind satisfies never;
  }
}

function entryInit({ name, protocol, serverNames = [] }: CatalogueEntry): {
  name: string;
  protocol: string;
  serverNames: string[];
} {
  return { name, protocol, serverNames: [...serverNames] };
}
