// The command line of `roost`: what `dovecot` and `doveconf` take.
import { defaultConfigFile } from '#config/load.js';

export type ServerCommand =
  | { readonly kind: 'run'; readonly foreground: boolean; readonly configFile: string }
  /** `npm start`: a server for trying, below ./var. */
  | { readonly kind: 'dev'; readonly configFile: string | undefined }
  | { readonly kind: 'control'; readonly action: 'reload' | 'stop'; readonly configFile: string }
  | {
      readonly kind: 'print';
      readonly mode: 'all' | 'changed' | 'written' | 'defaults';
      readonly showsSecrets: boolean;
      readonly showsNames: boolean;
      readonly expandsFiles: boolean;
      /** Only these settings or blocks. */
      readonly names: readonly string[];
      readonly configFile: string;
    }
  | { readonly kind: 'explain-limits'; readonly configFile: string }
  | { readonly kind: 'settings-doc' }
  | { readonly kind: 'text'; readonly what: 'version' | 'hostdomain' | 'build-options' | 'help' }
  | { readonly kind: 'usage'; readonly message: string };

export const usageText = `usage: roost [-F] [-c FILE]            start the server; -F: stay in the foreground
       roost -n|-a|-N|-d [-P] [-c FILE]  print settings: changed, all, written, defaults; -P: with secrets
       roost [-h] [-x] [-c FILE] NAME... print these settings; -h: values only; -x: contents of <files
       roost reload|stop [-c FILE]     act on the running server
       roost dev [-c FILE]             a server for trying, below ./var
       roost --explain-limits [-c FILE]  what the limits add up to
       roost --settings-doc            reference of all settings, in Markdown
       roost --version | --build-options | --hostdomain | --help
`;

const longOptions: Readonly<Record<string, ServerCommand>> = {
  '--version': { kind: 'text', what: 'version' },
  '--hostdomain': { kind: 'text', what: 'hostdomain' },
  '--build-options': { kind: 'text', what: 'build-options' },
  '--help': { kind: 'text', what: 'help' },
  '--settings-doc': { kind: 'settings-doc' },
};

const printModes = { a: 'all', n: 'changed', N: 'written', d: 'defaults' } as const;

/** Never throws; a mistake gives `usage`. */
export function parseServerOptions(argv: readonly string[]): ServerCommand {
  const letters = new Set<string>();
  const words: string[] = [];
  let configFile: string | undefined;
  let explains = false;
  const rest = [...argv];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--') words.push(...rest.splice(0));
    else if (arg === '--explain-limits') explains = true;
    else if (arg.startsWith('--')) {
      const command = Object.hasOwn(longOptions, arg) ? longOptions[arg] : undefined;
      return command ?? { kind: 'usage', message: `Unknown option ${arg}` };
    } else if (arg.startsWith('-') && arg.length > 1) {
      const at = arg.indexOf('c');
      for (const letter of at < 0 ? arg.slice(1) : arg.slice(1, at)) {
        if (!'FanNdPhxp'.includes(letter)) return { kind: 'usage', message: `Unknown option -${letter}` };
        letters.add(letter);
      }
      if (at >= 0) {
        configFile = arg.slice(at + 1) || rest.shift();
        if (configFile === undefined) return { kind: 'usage', message: 'Option -c needs a file' };
      }
    } else words.push(arg);
  }
  if (letters.has('p')) {
    return { kind: 'usage', message: 'Option -p is not supported: put the password into ssl_key_password = <file' };
  }
  const path = configFile ?? defaultConfigFile;
  if (explains) return { kind: 'explain-limits', configFile: path };
  const [verb] = words;
  const isPrint = [...letters].some((letter) => letter !== 'F');
  if (!isPrint && words.length === 1) {
    if (verb === 'reload' || verb === 'stop') return { kind: 'control', action: verb, configFile: path };
    if (verb === 'dev') return { kind: 'dev', configFile };
  }
  if (!isPrint && words.length === 0) return { kind: 'run', foreground: letters.has('F'), configFile: path };
  if (letters.has('F')) return { kind: 'usage', message: 'Option -F starts the server, it does not go with printing' };
  const mode = (['a', 'n', 'N', 'd'] as const).find((letter) => letters.has(letter));
  return {
    kind: 'print',
    mode: mode === undefined ? 'all' : printModes[mode],
    showsSecrets: letters.has('P'),
    showsNames: !letters.has('h'),
    expandsFiles: letters.has('x'),
    names: words,
    configFile: path,
  };
}
