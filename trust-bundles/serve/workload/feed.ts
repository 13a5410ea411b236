/** A state that is made whenever it is asked for, and told anew when one of its sources has changed. */
import { type Answer, failureOf, type Feed } from './rpc.ts';

/** What changes. */
export interface Watched {
  watch(listener: () => void): Disposable;
}

/** A feed of what `make` makes, which may throw: the failure is then what is told. */
export function feedOf(make: () => Answer, ...sources: readonly Watched[]): Feed {
  let last: Uint8Array | undefined;
  return {
    current: () => {
      const next = made(make);
      if (next.kind !== 'message') return next;
      // The same bytes are the same state, whatever has changed to get there.
      if (last === undefined || !Buffer.from(last).equals(next.bytes)) last = next.bytes;
      return { kind: 'message', bytes: last };
    },
    watch: (listener) => {
      const watches = new DisposableStack();
      for (const source of sources) watches.use(source.watch(listener));
      return watches;
    },
  };
}

/** Makes a value again only when one of `inputs` is another one; they are compared by identity. */
export function remembered<Input, Output>(make: (inputs: readonly Input[]) => Output) {
  let known: { readonly inputs: readonly Input[]; readonly output: Output } | undefined;
  return (inputs: readonly Input[]): Output => {
    const same = known?.inputs.length === inputs.length && inputs.every((input, at) => input === known?.inputs[at]);
    if (known === undefined || !same) known = { inputs, output: make(inputs) };
    return known.output;
  };
}

function made(make: () => Answer): Answer {
  try {
    return make();
  } catch (error) {
    return failureOf(error);
  }
}
