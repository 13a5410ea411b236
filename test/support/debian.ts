/** What the tests need beyond Node: programs of Debian packages, installed when we may, named when we may not. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Program → Debian package. */
export const NEEDED_PROGRAMS: Readonly<Record<string, string>> = {
  'redis-server': 'redis-server',
  openssl: 'openssl',
  curl: 'curl',
};

/** The absolute path of a program on PATH, or `undefined`. */
export function findProgram(name: string): string | undefined {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      continue;
    }
  }
  return undefined;
}

/**
 * Installs the missing packages where we are root on Debian, and says so; elsewhere prints the line to type and goes
 * on: the suites that need them then fail.
 */
export function installNeededPackages(say: (line: string) => void): void {
  const missing = Object.entries(NEEDED_PROGRAMS).filter(([program]) => findProgram(program) === undefined);
  if (missing.length === 0) return;
  const packages = missing.map(([, name]) => name);
  const install = ['install', '-y', '--no-install-recommends', ...packages];
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) {
    say(`the tests need programs that are not installed here: apt-get ${install.join(' ')}`);
    return;
  }
  say(`installing what the tests need from Debian: ${packages.join(' ')}`);
  // policy-rc.d keeps the packages from starting daemons of their own where it is honoured; RUNLEVEL does so elsewhere.
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  for (const words of [['update'], install]) {
    const { status } = spawnSync('apt-get', ['-q', ...words], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: environment,
    });
    if (status !== 0) say(`apt-get ${words.join(' ')} failed with ${status ?? 'a signal'}`);
  }
}
