/** Rows in Redis or Valkey, for several replicas of one gateway. The one door to ioredis. */
import { randomInt } from 'node:crypto';
import { Redis, type RedisOptions } from 'ioredis';
import { type Clock } from '../clock.ts';
import { JumpgateError, messageOf } from '../errors.ts';
import { type Logger } from '../log.ts';
import { type RedisAccess, type RedisAddress, readRedisAddress } from './redis-address.ts';
import { type RawRow, type RedisCommand, type RedisLink, redisRows } from './redis-rows.ts';
import { type Store, storeClosed } from './store.ts';

/** The newest layout that this version reads and writes; stands under `<prefix>format`. */
const REDIS_FORMAT = 1;

/** A server that takes longer is as good as away: callers go on with what they have. */
const COMMAND_TIMEOUT_MS = 2_000;

/** Also how long opening waits for a server that does not answer. */
const CONNECT_TIMEOUT_MS = 3_000;

/** Reconnecting begins at once and backs off to a pace that no server minds. */
const RECONNECT_MS_MIN = 50;
const RECONNECT_MS_MAX = 5_000;

/** A message is a key and a version; longer ones are nobody's. */
const MESSAGE_CHARS_MAX = 1_024;

/** How many members or keys the server is asked for at a time. */
const SCAN_COUNT = '1000';

/** Options of {@link openRedisStore}. */
export interface RedisStoreOptions extends RedisAccess {
  /** Of every key and channel of this gateway, for instance `jumpgate:us-east:`. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** PEM of the authorities to believe for `rediss:`. Default: those of the system. */
  readonly ca?: string | undefined;
  /** Told when the server comes and goes. */
  readonly onAvailability?: (available: boolean) => void;
}

/**
 * Opens a store in Redis. A server that is away is no error: operations throw `store-unavailable` (retry `later`) at
 * once until it is back. Throws for a wrong URL (see readRedisAddress) or prefix (`redis-prefix-malformed`), and
 * `state-format` when a newer version wrote under the prefix. Commands used, for an ACL: AUTH, SELECT, GETRANGE, GET,
 * SET, DEL, SADD, SREM, SSCAN, SCAN, WATCH, MULTI, EXEC, PUBLISH, SUBSCRIBE.
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<Store> {
  if (!/^[A-Za-z0-9:._-]{1,128}$/.test(options.prefix)) {
    throw new JumpgateError(
      'redis-prefix-malformed',
      `expected a prefix of letters, digits and ':._-' with at most 128 characters, found ${JSON.stringify(options.prefix)}`,
      { source: 'config' },
    );
  }
  const link = new RedisConnections(options, readRedisAddress(options));
  try {
    await link.settled();
  } catch (error) {
    await link[Symbol.asyncDispose]();
    throw error;
  }
  return redisRows({ link, prefix: options.prefix, clock: options.clock, log: options.log });
}

/** One connection for commands, and one to listen on. */
class RedisConnections implements RedisLink {
  readonly #options: RedisStoreOptions;
  readonly #where: string;
  readonly #commands: Redis;
  readonly #listening: Redis;
  readonly #settled = Promise.withResolvers<undefined>();
  /** Counts connections: a WATCH holds for the one on which it was sent only. */
  #epoch = 0;
  #usable = false;
  #closed = false;
  #trouble = 'not connected yet';
  #refusal: JumpgateError | undefined;

  constructor(options: RedisStoreOptions, address: RedisAddress) {
    this.#options = options;
    this.#where = `${address.host}:${address.port}`;
    const redisOptions = redisOptionsOf(options, address);
    this.#commands = new Redis(redisOptions);
    this.#listening = new Redis(redisOptions);
    this.#commands.on('error', (error) => {
      this.#onTrouble(messageOf(error));
    });
    this.#commands.on('close', () => {
      this.#onClose();
    });
    this.#commands.on('ready', () => {
      void this.#onReady();
    });
    // The commands' connection tells the same troubles.
    this.#listening.on('error', () => undefined);
  }

  /** Resolves when the server answered, failed or let the time pass; rejects when it holds a newer format. */
  async settled(): Promise<void> {
    const timer = this.#options.clock.after(CONNECT_TIMEOUT_MS, () => {
      this.#settled.resolve(undefined);
    });
    await this.#settled.promise;
    timer[Symbol.dispose]();
    if (this.#refusal !== undefined) throw this.#refusal;
  }

  async read(keys: readonly string[], bytesMax: number): Promise<readonly RawRow[]> {
    return this.#attempt(() =>
      Promise.all(keys.map((key) => this.#commands.getrangeBuffer(key, 0, bytesMax - 1).catch(wrongTypeOr))),
    );
  }

  async members(key: string, max: number): Promise<readonly string[] | 'wrong-type'> {
    return this.#attempt(async () => {
      const members = new Set<string>();
      let cursor = '0';
      do {
        const page = await this.#commands.sscan(key, cursor, 'COUNT', SCAN_COUNT).catch(wrongTypeOr);
        if (page === 'wrong-type') return page;
        cursor = page[0];
        for (const member of page[1]) members.add(member);
      } while (cursor !== '0' && members.size < max);
      return [...members];
    });
  }

  async scan(pattern: string, max: number): Promise<readonly string[]> {
    return this.#attempt(async () => {
      const keys = new Set<string>();
      let cursor = '0';
      do {
        const [next, page] = await this.#commands.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT);
        cursor = next;
        for (const key of page) keys.add(key);
      } while (cursor !== '0' && keys.size < max);
      return [...keys];
    });
  }

  async guard(key: string): Promise<number> {
    const epoch = this.#epoch;
    await this.#attempt(() => this.#commands.watch(key));
    return epoch;
  }

  async execute(commands: readonly RedisCommand[], guard?: number): Promise<readonly unknown[] | 'interrupted'> {
    return this.#attempt(async () => {
      // Sent in the same turn as this check, so that no reconnection can come between and drop the WATCH unnoticed.
      if (guard !== undefined && guard !== this.#epoch) return 'interrupted';
      const replies = await this.#commands.multi(commands.map((command) => [...command])).exec();
      return replies === null ? 'interrupted' : replies.map(([error, reply]) => error ?? reply);
    });
  }

  subscribe(channel: string, onMessage: (message: string) => void, onReady: () => void): void {
    const listen = async (): Promise<void> => {
      try {
        await this.#listening.subscribe(channel);
        onReady();
      } catch (error) {
        this.#options.log.warn('redis subscription failed', { error: messageOf(error) });
      }
    };
    this.#listening.on('message', (_channel, message) => {
      if (message.length <= MESSAGE_CHARS_MAX) onMessage(message);
    });
    this.#listening.on('ready', () => {
      void listen();
    });
    if (this.#listening.status === 'ready') void listen();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#usable = false;
    await Promise.all([disconnected(this.#commands), disconnected(this.#listening)]);
  }

  async #attempt<T>(action: () => Promise<T>): Promise<T> {
    if (this.#closed) throw storeClosed();
    if (this.#refusal !== undefined) throw this.#refusal;
    if (!this.#usable) throw this.#unavailable(this.#trouble);
    try {
      return await action();
    } catch (error) {
      // A late reply must not be left to a connection on which others wait: begin a new one.
      if (messageOf(error) === 'Command timed out') this.#commands.disconnect(true);
      throw this.#unavailable(messageOf(error), error);
    }
  }

  #unavailable(trouble: string, cause?: unknown): JumpgateError {
    return new JumpgateError(
      'store-unavailable',
      `expected an answer from the Redis server at ${this.#where}, found: ${trouble}`,
      { source: 'local', retry: 'later', cause },
    );
  }

  async #onReady(): Promise<void> {
    const epoch = this.#epoch;
    try {
      await this.#checkFormat();
    } catch (error) {
      this.#onTrouble(messageOf(error));
      this.#commands.disconnect(true);
      return;
    }
    if (epoch !== this.#epoch || this.#closed) return;
    this.#usable = this.#refusal === undefined;
    if (this.#usable) {
      this.#options.log.info('redis connected', { server: this.#where });
      this.#options.onAvailability?.(true);
    }
    this.#settled.resolve(undefined);
  }

  async #checkFormat(): Promise<void> {
    const key = `${this.#options.prefix}format`;
    await this.#commands.set(key, String(REDIS_FORMAT), 'NX');
    const found = await this.#commands.get(key);
    if (Number(found) === REDIS_FORMAT) {
      this.#refusal = undefined;
      return;
    }
    this.#refusal = new JumpgateError(
      'state-format',
      `expected format ${REDIS_FORMAT} at ${key} of the Redis server at ${this.#where}, found ` +
        `${JSON.stringify(found?.slice(0, 20))}: a newer version of jumpgate wrote it, or it is not ours`,
      { source: 'local' },
    );
    this.#options.log.error('redis store refused', { error: this.#refusal.message });
  }

  #onClose(): void {
    this.#epoch += 1;
    if (!this.#usable) return;
    this.#usable = false;
    this.#trouble = 'connection lost';
    this.#options.log.warn('redis connection lost', { server: this.#where });
    this.#options.onAvailability?.(false);
  }

  /** Logs each new trouble once: retries repeat it for as long as it lasts. */
  #onTrouble(trouble: string): void {
    if (trouble !== this.#trouble) this.#options.log.warn('redis trouble', { server: this.#where, error: trouble });
    this.#trouble = trouble;
    this.#settled.resolve(undefined);
  }
}

function redisOptionsOf(options: RedisStoreOptions, address: RedisAddress): Omit<RedisOptions, 'replyMapping'> {
  const tls = { servername: address.host, rejectUnauthorized: true };
  return {
    host: address.host,
    port: address.port,
    db: address.database,
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
    ...(address.tls ? { tls: options.ca === undefined ? tls : { ...tls, ca: options.ca } } : {}),
    // RESP3 would add nothing but a HELLO that older servers and strict ACLs refuse.
    protocol: 2,
    disableClientInfo: true,
    // INFO is one more command to permit; a server that is still loading answers LOADING, which counts as away.
    enableReadyCheck: false,
    // Nothing is ever queued or sent twice: whoever asks is told at once, and knows better whether to ask again.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepAlive: 10_000,
    // After a failover the old primary answers READONLY until it is left.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    retryStrategy: (attempt) =>
      Math.min(RECONNECT_MS_MIN * 2 ** Math.min(attempt, 10), RECONNECT_MS_MAX) * (randomInt(800, 1_200) / 1_000),
  };
}

function wrongTypeOr(error: unknown): 'wrong-type' {
  if (messageOf(error).startsWith('WRONGTYPE')) return 'wrong-type';
  throw error;
}

/** While it waits to reconnect there is no socket whose end could be waited for. */
async function disconnected(redis: Redis): Promise<void> {
  const idle = ['end', 'close', 'reconnecting', 'wait'].includes(redis.status);
  const ended = new Promise<void>((resolve) => {
    if (idle) resolve();
    else {
      redis.once('end', () => {
        resolve();
      });
    }
  });
  redis.disconnect();
  await ended;
}
