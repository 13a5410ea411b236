/** Gives a ClientHelloReader bytes in pieces. */
import { ClientHelloReader, type HelloStep } from '../../gateway/tcp/client-hello.ts';

/** The first outcome, or `incomplete`. A hello has the bytes that came after it too, as the reader of one read would. */
export function readHello(bytes: Uint8Array, pieceBytes = bytes.length): HelloStep {
  const reader = new ClientHelloReader();
  let step: HelloStep = { kind: 'incomplete' };
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    step = reader.read(Buffer.from(bytes.subarray(at, at + pieceBytes)));
    if (step.kind !== 'incomplete') break;
  }
  return step;
}
