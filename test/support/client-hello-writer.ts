/** Writes ClientHellos, also such as no client sends. */

/** Parts of a hello; what is left out is sound. Without `extensions` there is not even an empty list of them. */
export interface HelloParts {
  readonly session?: Buffer;
  readonly ciphers?: Buffer;
  readonly compressions?: Buffer;
  readonly extensions?: readonly Buffer[];
  /** Bytes after the extensions, within the message. */
  readonly tail?: Buffer;
}

/** Two bytes, big-endian. */
export const u16 = (value: number): readonly number[] => [value >> 8, value & 0xff];

/** `content` with its length in one or two bytes before it. */
export function vector(lengthBytes: 1 | 2, content: Buffer): Buffer {
  const length = lengthBytes === 1 ? [content.length] : u16(content.length);
  return Buffer.concat([Buffer.from(length), content]);
}

/** One extension. */
export function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from(u16(type)), vector(2, content)]);
}

/** A list of one host name. */
export function serverNameExtension(name: string): Buffer {
  return extension(0, vector(2, Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name, 'latin1'))])));
}

/** A list of protocol names. */
export function alpnExtension(...names: readonly string[]): Buffer {
  return extension(16, vector(2, Buffer.concat(names.map((name) => vector(1, Buffer.from(name))))));
}

/** The handshake message. */
export function helloMessage(parts: HelloParts): Buffer {
  const { session = Buffer.alloc(32, 7), ciphers = Buffer.from([0x13, 1, 0xc0, 0x2b]), tail = Buffer.alloc(0) } = parts;
  const { compressions = Buffer.from([0]), extensions } = parts;
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 9),
    vector(1, session),
    vector(2, ciphers),
    vector(1, compressions),
    ...(extensions === undefined ? [] : [vector(2, Buffer.concat(extensions))]),
    tail,
  ]);
  return Buffer.concat([Buffer.from([1, body.length >> 16, ...u16(body.length & 0xffff)]), body]);
}

/** One record, of handshake bytes unless `type` says otherwise. */
export function record(content: Buffer, type = 22): Buffer {
  return Buffer.concat([Buffer.from([type, 3, 1]), vector(2, content)]);
}

/** `message` in records of `size` bytes. */
export function records(message: Buffer, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) parts.push(record(message.subarray(at, at + size)));
  return Buffer.concat(parts);
}

/** A whole hello in one record. */
export function hello(parts: HelloParts): Buffer {
  return record(helloMessage(parts));
}
