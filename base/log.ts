/** The operational log: one JSON object a line, constant messages, facts in fields. */

/** Severity, least first. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/** One of {@link LOG_LEVELS}. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Facts of a line. Never keys, tokens or PEM bodies. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes lines at or above the current level. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line and shares this one's level. */
  with(fields: LogFields): Logger;
}

/** The root of a tree of loggers, whose level can be changed while running. */
export interface LogRoot extends Logger {
  level: LogLevel;
}

/** Where lines go and what time it is. */
export interface LogOptions {
  readonly level: LogLevel;
  readonly write: (line: string) => void;
  readonly now: () => number;
}

/** Makes a root logger. */
export function createLog(options: LogOptions): LogRoot {
  const state = { level: options.level };
  const line = (level: LogLevel, message: string, fields: LogFields): void => {
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(state.level)) return;
    const time = new Date(options.now()).toISOString();
    options.write(`${JSON.stringify({ time, level, message, ...plain(fields) })}\n`);
  };
  const logger = (bound: LogFields): Logger => ({
    debug: (message, fields) => {
      line('debug', message, { ...bound, ...fields });
    },
    info: (message, fields) => {
      line('info', message, { ...bound, ...fields });
    },
    warn: (message, fields) => {
      line('warn', message, { ...bound, ...fields });
    },
    error: (message, fields) => {
      line('error', message, { ...bound, ...fields });
    },
    with: (fields) => logger({ ...bound, ...fields }),
  });
  return {
    ...logger({}),
    get level(): LogLevel {
      return state.level;
    },
    set level(level: LogLevel) {
      state.level = level;
    },
  };
}

/** Drops every line: for parts under test that have nobody to tell. */
export const silentLog: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => silentLog,
};

/** Errors become their message, and bigints strings, since JSON has neither. */
function plain(fields: LogFields): LogFields {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (value instanceof Error) out[key] = value.message;
    else if (typeof value === 'bigint') out[key] = String(value);
    else out[key] = value;
  }
  return out;
}
