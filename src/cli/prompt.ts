// Asking for a password: without echo on a terminal, a line from the pipe otherwise.
import { AdminError } from './exit-codes.js';

/** Longer ones are a mistake, such as a file piped in. */
const maxPasswordOctets = 64 * 1024;

const keys = { interrupt: 0x03, endOfInput: 0x04, backspace: 0x08, lineFeed: 0x0a, return: 0x0d, eraseLine: 0x15, erase: 0x7f } as const;

/**
 * @param prompt shown on a terminal only
 * @throws AdminError when there is nothing to read, or the administrator gives up
 */
export async function askPassword(prompt: string, signal: AbortSignal): Promise<string> {
  if (!process.stdin.isTTY) return (await readLines(signal))[0] ?? noPassword();
  return (await askTerminal([prompt], signal))[0] ?? noPassword();
}

/**
 * Asks until both are known: a pipe may give the password once, or twice as scripts for a terminal do.
 * @throws AdminError when they differ
 */
export async function askNewPassword(signal: AbortSignal): Promise<string> {
  const answers = process.stdin.isTTY
    ? await askTerminal(['Enter new password: ', 'Retype new password: '], signal)
    : await readLines(signal);
  const first = answers[0] ?? noPassword();
  const second = answers[1] ?? first;
  if (first !== second) throw new AdminError('data', "Passwords don't match!", { level: 'Error' });
  return first;
}

function noPassword(): never {
  throw new AdminError('data', 'No password given');
}

async function readLines(signal: AbortSignal): Promise<string[]> {
  const chunks: Buffer[] = [];
  let octets = 0;
  const onAbort = (): void => void process.stdin.destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  for await (const chunk of process.stdin) {
    const piece = Buffer.from(chunk);
    octets += piece.length;
    if (octets > maxPasswordOctets) throw new AdminError('data', `Password is longer than ${maxPasswordOctets} octets`);
    chunks.push(piece);
  }
  signal.removeEventListener('abort', onAbort);
  const text = Buffer.concat(chunks).toString('utf8');
  return text === '' ? [] : text.replace(/\r?\n$/, '').split(/\r?\n/);
}

/** A line for each prompt, with the erase keys working and nothing shown. The echo is off before the first prompt and until the last answer. */
function askTerminal(prompts: readonly string[], signal: AbortSignal): Promise<string[]> {
  const { stdin, stderr } = process;
  stdin.setRawMode(true);
  stdin.resume();
  stderr.write(prompts[0] ?? '');
  return new Promise((resolve, reject) => {
    const answers: string[] = [];
    let typed: number[] = [];
    const finish = (settle: () => void): void => {
      stdin.off('data', onData);
      stdin.off('end', giveUp);
      signal.removeEventListener('abort', giveUp);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write('\n');
      settle();
    };
    const giveUp = (): void => finish(() => reject(new AdminError('data', 'No password given')));
    const onData = (chunk: Buffer): void => {
      for (const octet of chunk) {
        if (octet === keys.interrupt || (octet === keys.endOfInput && typed.length === 0)) {
          giveUp();
          return;
        }
        if (octet === keys.return || octet === keys.lineFeed) {
          answers.push(Buffer.from(typed).toString('utf8'));
          typed = [];
          if (answers.length === prompts.length) {
            finish(() => resolve(answers));
            return;
          }
          stderr.write(`\n${prompts[answers.length] ?? ''}`);
        } else typed = edited(typed, octet);
      }
    };
    stdin.on('data', onData);
    stdin.on('end', giveUp);
    signal.addEventListener('abort', giveUp, { once: true });
  });
}

function edited(typed: number[], octet: number): number[] {
  if (octet === keys.eraseLine) return [];
  if (octet === keys.erase || octet === keys.backspace) return withoutLastCharacter(typed);
  if (octet !== keys.endOfInput && typed.length < maxPasswordOctets) typed.push(octet);
  return typed;
}

/** A character may be several octets of UTF-8. */
function withoutLastCharacter(octets: readonly number[]): number[] {
  let end = octets.length - 1;
  while (end > 0 && ((octets[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return octets.slice(0, Math.max(end, 0));
}
