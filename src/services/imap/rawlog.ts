// rawlog_dir: the traffic of a session as it was, in two files, for whoever hunts a client's bug. Only when the folder exists. Passwords
// of clients that log in once more are hidden.
import { randomBytes } from 'node:crypto';
import { createWriteStream, existsSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '#log/logger.js';
import { PasswordMask } from './password-mask.js';

/** A disk that is slower than the client loses the rest of the log, not the session. */
const maxWaitingBytes = 8_388_608;

export interface RawLog {
  received(chunk: Buffer): void;
  sent(chunk: Buffer): void;
  close(): void;
}

class RawFile {
  readonly #stream: WriteStream;
  #isBroken = false;

  constructor(path: string, log: Logger) {
    this.#stream = createWriteStream(path, { flags: 'wx', mode: 0o600 });
    this.#stream.on('error', (error) => {
      this.#isBroken = true;
      log.warning('imap.rawlog', `Writing ${path} failed`, { error });
    });
  }

  write(chunk: Buffer): void {
    if (this.#stream.writableLength > maxWaitingBytes) this.#isBroken = true;
    if (!this.#isBroken) this.#stream.write(chunk);
  }

  close(): void {
    this.#stream.end();
  }
}

/** @returns undefined when the setting is empty or the folder does not exist */
export function openRawLog(folder: string, log: Logger, nowMs: number): RawLog | undefined {
  if (folder === '' || !existsSync(folder)) return undefined;
  const stamp = new Date(nowMs).toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  const path = join(folder, `${stamp}-${process.pid}-${randomBytes(4).toString('hex')}`);
  const input = new RawFile(`${path}.in`, log);
  const output = new RawFile(`${path}.out`, log);
  const mask = new PasswordMask();
  return {
    received: (chunk) => input.write(mask.push(chunk)),
    sent: (chunk) => output.write(chunk),
    close: () => {
      input.close();
      output.close();
    },
  };
}
