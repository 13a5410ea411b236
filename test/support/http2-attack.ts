/** The frame of an attack on the engine: a server of its own, an innocent client beside it, and what must hold afterwards. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ManualClock } from './manual-clock.ts';
import { TestApplication } from './http2-application.ts';
import { type EngineOptions, type EngineTarget, engineTarget } from './http2-targets.ts';
import { CODE, codeOf, FRAME, headersFrame, type Pairs, type RawFrame } from './http2-frames.ts';
import { block } from './raw-hpack.ts';
import { RawHttp2 } from './raw-http2.ts';

/** What an attack has in hand. */
export interface Rig {
  readonly target: EngineTarget;
  readonly application: TestApplication;
  /** The engine's time, which moves only when told. */
  readonly clock: ManualClock;
  /** The attacker's connection; more by `RawHttp2.open(target)`. */
  readonly peer: RawHttp2;
}

/** More rounds than any budget allows. */
export const FLOOD = 10_000;

/** A flood is seen once per portion, and harmless oddities are free at first. */
export const SLACK = 150;

/** The stream of the client's request number `index`, from 0. */
export const streamOf = (index: number): number => 2 * index + 1;

/** Frames of an attack go out in portions of this many, each followed by a look at what came of it. */
const PORTION = 20;

/**
 * Registers a test: `attack` runs while an innocent client calls again and again on a connection of its own. Every
 * innocent call must succeed, and afterwards nothing of the attack may be left behind in the engine.
 */
export function underAttack(
  name: string,
  attack: (rig: Rig) => Promise<void>,
  options: Pick<EngineOptions, 'limits'> = {},
): void {
  test(name, async () => {
    const application = new TestApplication();
    const clock = new ManualClock();
    const target = await engineTarget({ ...options, application, clock });
    const peer = await RawHttp2.open(target);
    const innocent = await Innocent.start(target);
    try {
      await attack({ target, application, clock, peer });
      peer.destroy();
      await innocent.stop();
      await target.connectionsAre(0);
      assert.equal(application.active, 0, 'an exchange outlived its connection');
      assert.equal(application.owed, 0, 'bytes are owed to nobody');
      assert.deepEqual(target.errors, []);
    } finally {
      peer.destroy();
      innocent.destroy();
      await target.close();
    }
  });
}

/** A client that does nothing wrong. */
class Innocent {
  readonly #peer: RawHttp2;
  #running = true;
  readonly #done: Promise<string>;
  #calls = 0;

  private constructor(peer: RawHttp2) {
    this.#peer = peer;
    this.#done = this.#run().then(
      () => '',
      (error: unknown) => (error instanceof Error ? error.message : 'unknown'),
    );
  }

  static async start(target: EngineTarget): Promise<Innocent> {
    return new Innocent(await RawHttp2.open(target));
  }

  /** Ends after one more call; throws if any call failed. */
  async stop(): Promise<void> {
    this.#running = false;
    const failure = await this.#done;
    this.destroy();
    assert.equal(failure, '', `the innocent client failed after ${this.#calls} calls: ${failure}`);
    assert.ok(this.#calls > 0);
  }

  destroy(): void {
    this.#running = false;
    this.#peer.destroy();
  }

  async #run(): Promise<void> {
    for (let stream = 1; ; stream += 2) {
      const { status, body } = await this.#peer.get(stream, '/');
      assert.equal(status, 200);
      assert.ok(body.length > 0);
      this.#calls += 1;
      if (!this.#running) return;
    }
  }
}

/** A request's HEADERS; `path` is `/hold` unless given, which the application never answers. */
export function request(
  peer: RawHttp2,
  stream: number,
  options: { readonly path?: string; readonly method?: string; readonly end?: boolean; readonly more?: Pairs } = {},
): Buffer {
  const { path = '/hold', method = 'GET', end = true, more = [] } = options;
  return headersFrame(stream, block(peer.request({ path, method }, more)), { end });
}

/** How a flood ended. */
export interface FloodOutcome {
  /** Rounds sent before the connection had been given up, to within a portion. */
  readonly rounds: number;
  /** The code of GOAWAY; undefined if the connection survived, or ended without one. */
  readonly code: number | undefined;
  readonly ended: boolean;
}

/** Sends `round(0)`, `round(1)`, … until GOAWAY with an error, the end of the connection, or `most` rounds. */
export async function flood(peer: RawHttp2, most: number, round: (index: number) => Buffer): Promise<FloodOutcome> {
  let rounds = 0;
  while (rounds < most && peer.closed === undefined && goAwayIn(peer.seen) === undefined) {
    const portion = Math.min(PORTION, most - rounds);
    peer.write(...Array.from({ length: portion }, (_, index) => round(rounds + index)));
    rounds += portion;
    // A marker that every endpoint answers; the flood is over when the connection does not.
    if (!(await peer.alive(`f${rounds}`))) break;
  }
  const code = goAwayIn(peer.seen);
  return { rounds, code, ended: peer.closed !== undefined };
}

/** The flood of {@link FLOOD} rounds was stopped soon after `budget` rounds, calmly. */
export function stopped({ rounds, code, ended }: FloodOutcome, budget: number): void {
  assert.ok(rounds >= Math.min(budget, FLOOD) && rounds <= budget + SLACK, `stopped after ${rounds}, not ${budget}`);
  assert.ok(code === CODE.enhanceYourCalm || (code === undefined && ended), `ended with ${code}`);
}

/** The code of the last GOAWAY that is an error. */
function goAwayIn(frames: readonly RawFrame[]): number | undefined {
  const codes = frames.filter(({ type }) => type === FRAME.goAway).map(codeOf);
  return codes.findLast((code) => code !== CODE.noError);
}

/** Codes of the resets that came, by stream. */
export function resetsOf(peer: RawHttp2): ReadonlyMap<number, number> {
  return new Map(
    peer.seen.filter(({ type }) => type === FRAME.rstStream).map((frame) => [frame.stream, codeOf(frame)]),
  );
}

/** The connection ends, with GOAWAY of this code. */
export async function endsWith(peer: RawHttp2, code: number): Promise<void> {
  await peer.ended();
  assert.equal(goAwayIn(peer.seen), code, peer.story());
}
