/** A TLS 1.3 client that shakes hands as node:tls does and then writes records of its own making, sound in their seals alone. */
import { createCipheriv, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { type Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { type ConnectionOptions } from 'node:tls';

import { u16 } from './client-hello-writer.ts';
import { rawTcp, rawTls } from './tls.ts';

/** Types of content (RFC 8446 §5.1). */
export const CONTENT = { alert: 21, handshake: 22, application: 23 } as const;

const KEY_BYTES = 16;
const IV_BYTES = 12;
const HASH_BYTES = 32;
const TAG_BYTES = 16;
/** KeyUpdate (RFC 8446 §4.6.3) that asks for none in return, and one that does. */
const KEY_UPDATE = { quiet: Buffer.from([24, 0, 0, 1, 0]), asking: Buffer.from([24, 0, 0, 1, 1]) } as const;

/** The client after its handshake; what comes from the server from now on is read and forgotten. */
export interface RecordWriter {
  readonly socket: Socket;
  /** A record, sealed as the next of ours. */
  seal(type: number, content: Uint8Array): Buffer;
  /** A KeyUpdate; what is sealed from now on has the new keys. */
  keyUpdate(kind: keyof typeof KEY_UPDATE): Buffer;
}

/** Connects, and resolves when the server has greeted: both handshakes are over. */
export async function recordWriter(port: number, options: ConnectionOptions): Promise<RecordWriter> {
  const [near, far] = duplexPair();
  const socket = await rawTcp(port);
  socket.pipe(far).pipe(socket);
  const client = rawTls(port, { ...options, socket: near, ciphers: 'TLS_AES_128_GCM_SHA256' });
  let secret: Buffer = Buffer.alloc(0);
  client.on('keylog', (line) => {
    const [label, , value = ''] = line.toString().trim().split(' ');
    if (label === 'CLIENT_TRAFFIC_SECRET_0') secret = Buffer.from(value, 'hex');
  });
  client.on('error', () => undefined);
  await once(client, 'data');
  far.unpipe(socket);
  socket.unpipe(far);
  socket.resume();
  let sequence = 0n;
  const seal = (type: number, content: Uint8Array): Buffer => {
    const iv = expand(secret, 'iv', IV_BYTES);
    const counter = Buffer.alloc(IV_BYTES);
    counter.writeBigUInt64BE(sequence, IV_BYTES - 8);
    sequence += 1n;
    const head = Buffer.from([CONTENT.application, 3, 3, ...u16(content.length + 1 + TAG_BYTES)]);
    const nonce = Buffer.from(iv.map((octet, index) => octet ^ (counter[index] ?? 0)));
    const cipher = createCipheriv('aes-128-gcm', expand(secret, 'key', KEY_BYTES), nonce).setAAD(head);
    const sealed = cipher.update(Buffer.concat([content, Buffer.from([type])]));
    return Buffer.concat([head, sealed, cipher.final(), cipher.getAuthTag()]);
  };
  const keyUpdate = (kind: keyof typeof KEY_UPDATE): Buffer => {
    const record = seal(CONTENT.handshake, KEY_UPDATE[kind]);
    secret = expand(secret, 'traffic upd', HASH_BYTES);
    sequence = 0n;
    return record;
  };
  return { socket, seal, keyUpdate };
}

/** HKDF-Expand-Label without a context, of one block (RFC 8446 §7.1). */
function expand(secret: Buffer, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.from([...u16(length), name.length]), name, Buffer.from([0, 1])]);
  return createHmac('sha256', secret).update(info).digest().subarray(0, length);
}
