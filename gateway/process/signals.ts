/** The signals that a service manager sends: stop, and take up what changed. */

/** Resolves at the first SIGTERM or SIGINT and ends the process at once at a second; calls `onHangUp` at each SIGHUP. */
export async function untilStopped(options: { readonly onHangUp: () => void }): Promise<void> {
  process.on('SIGHUP', options.onHangUp);
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
  const force = (): never => process.exit(1);
  process.once('SIGTERM', force);
  process.once('SIGINT', force);
}
