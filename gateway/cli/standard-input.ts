/** Secrets from standard input, where `ps` does not show them. */
import { type CliIo } from './io.ts';
import { usage } from './verb.ts';

/** The token on standard input, of at most `charsMax`. Throws `usage`; where there is none, with `hint` at what may be wrong. */
export async function readToken({ stdin }: CliIo, charsMax: number, hint: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of stdin) {
    text += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    if (text.length > charsMax) throw usage(`expected a token of at most ${charsMax} characters on standard input`);
  }
  const token = text.trim();
  if (token === '') throw usage(`expected a token on standard input, found nothing: ${hint}`);
  return token;
}
