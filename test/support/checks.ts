/** The static checks, as words for Node, shared by `npm run check` and the test suite. */

/** A check: its name and what Node is to run. */
export interface Check {
  readonly name: string;
  readonly words: readonly string[];
}

/** In order of how often they fail. */
export const CHECKS: readonly Check[] = [
  { name: 'format', words: ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.'] },
  { name: 'types', words: ['node_modules/typescript/bin/tsc', '-p', '.'] },
  { name: 'lint', words: ['node_modules/eslint/bin/eslint.js', '--max-warnings', '0', '.'] },
  { name: 'tidy', words: ['--test', 'test/tidy.test.ts'] },
];
