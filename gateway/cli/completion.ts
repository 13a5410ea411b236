/** `jumpgate completion`: verbs, their first words and options for a shell's Tab key. */
import { BUNDLE_FORMATS } from './bundle-files.ts';
import { EXIT } from './io.ts';
import { usage, type Verb } from './verb.ts';

/** Prints a script to be sourced. */
export const completionVerb: Verb = {
  name: 'completion',
  summary: 'print a completion script for bash, zsh or fish',
  operands: 'bash | zsh | fish',
  operandsMin: 1,
  operandsMax: 1,
  options: {},
  run: async ({ given, io, verbs }) => {
    const [shell = ''] = given.operands;
    switch (shell) {
      case 'bash':
        io.stdout.write(bash(verbs));
        return EXIT.ok;
      case 'zsh':
        io.stdout.write(`#compdef jumpgate\nautoload -U +X bashcompinit && bashcompinit\n${bash(verbs)}`);
        return EXIT.ok;
      case 'fish':
        io.stdout.write(fish(verbs));
        return EXIT.ok;
      default:
        throw usage(`expected bash, zsh or fish, found ${JSON.stringify(shell)}`);
    }
  },
};

function bash(verbs: readonly Verb[]): string {
  const cases = verbs.map(
    (verb) => `    ${verb.name}) first="${firstWords(verb).join(' ')}" words="${words(verb.options)}" ;;\n`,
  );
  return `_jumpgate() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" first="" words="--help"
  case "$previous" in
    -f|--file) COMPREPLY=($(compgen -d -- "$current")); return ;;
    --out|--token-file|--password-file) COMPREPLY=($(compgen -f -- "$current")); return ;;
    --as) COMPREPLY=($(compgen -W "${BUNDLE_FORMATS.join(' ')}" -- "$current")); return ;;
    -o|--output) COMPREPLY=($(compgen -W "json yaml wide" -- "$current")); return ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${verbs.map(({ name }) => name).join(' ')}" -- "$current")); return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join('')}  esac
  if [ "$COMP_CWORD" -eq 2 ]; then words="$first $words"; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _jumpgate jumpgate
`;
}

/** What may follow the verb as it stands: the words of its usage line in lower case. */
function firstWords({ operands }: Verb): readonly string[] {
  return operands.match(/(?<![\w-])[a-z][a-z0-9-]*(?![\w-])/g) ?? [];
}

function words(options: Verb['options']): string {
  return [...Object.keys(options), 'help'].map((name) => `--${name}`).join(' ');
}

function fish(verbs: readonly Verb[]): string {
  const names = verbs.map(
    ({ name, summary }) => `complete -c jumpgate -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}\n`,
  );
  const first = verbs.flatMap((verb) =>
    firstWords(verb).map(
      (word) =>
        `complete -c jumpgate -n '__fish_seen_subcommand_from ${verb.name}; and test (count (commandline -opc)) -eq 2' -a ${word}\n`,
    ),
  );
  const options = verbs.flatMap((verb) =>
    Object.entries(verb.options).map(
      ([option, { short, argument, help }]) =>
        `complete -c jumpgate -n '__fish_seen_subcommand_from ${verb.name}' -l ${option}${short === undefined ? '' : ` -s ${short}`}${argument === undefined ? '' : ' -r'} -d ${quoted(help)}\n`,
    ),
  );
  return [...names, ...first, ...options].join('');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "\\'")}'`;
}
