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
  return askTerminal(prompt, signal);
}

/**
 * Asks until both are known: a pipe may give the password once, or twice as scripts for a terminal do.
 * @throws AdminError when they differ
 */
export async function askNewPassword(signal: AbortSignal): Promise<string> {
  let first: string;
  let second: string;
  if (process.stdin.isTTY) {
    first = await askTerminal('Enter new password: ', signal);
    second = await askTerminal('Retype new password: ', signal);
  } else {
    const lines = await readLines(signal);
    first = lines[0] ?? noPassword();
    second = lines[1] ?? first;
  }
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

/** One line from the terminal, with the erase keys working and nothing shown. */
function askTerminal(prompt: string, signal: AbortSignal): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(prompt);
  stdin.setRawMode(true);
  stdin.resume();
  return new Promise((resolve, reject) => {
    let typed: number[] = [];
    const finish = (settle: () => void): void => {
      stdin.off('data', onData);
      stdin.off('end', onEnd);
      signal.removeEventListener('abort', onAbort);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write('\n');
      settle();
    };
    const giveUp = (): void => finish(() => reject(new AdminError('data', 'No password given')));
    const onAbort = giveUp;
    const onEnd = giveUp;
    const onData = (chunk: Buffer): void => {
      for (const [index, octet] of chunk.entries()) {
        if (octet === keys.return || octet === keys.lineFeed) {
          // What was typed ahead belongs to the next question.
          const rest = chunk.subarray(index + 1);
          finish(() => resolve(Buffer.from(typed).toString('utf8')));
          if (rest.length > 0) stdin.unshift(rest);
          return;
        }
        if (octet === keys.interrupt || (octet === keys.endOfInput && typed.length === 0)) {
          giveUp();
          return;
        }
        if (octet === keys.eraseLine) typed = [];
        else if (octet === keys.erase || octet === keys.backspace) typed = withoutLastCharacter(typed);
        else if (octet !== keys.endOfInput && typed.length < maxPasswordOctets) typed.push(octet);
      }
    };
    stdin.on('data', onData);
    stdin.on('end', onEnd);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** A character may be several octets of UTF-8. */
function withoutLastCharacter(octets: readonly number[]): number[] {
  let end = octets.length - 1;
  while (end > 0 && ((octets[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return octets.slice(0, Math.max(end, 0));
}
