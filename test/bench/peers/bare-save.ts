// A program that only does open, write, fsync and rename: what the file system allows at most. Or that and an fsync of the folder, without which the name
// is not durable, or that and a line in a list, made durable as well.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { How } from './bare-save-server.js';

export interface BareSave {
  /** Messages saved in about that time, and the seconds it really took. */
  save(how: How, durationMs: number): Promise<{ readonly count: number; readonly seconds: number }>;
  stop(): Promise<void>;
}

/** @param workers threads that save one message after the other, each with calls that wait */
export function startBareSave(folder: string, workers: number, bytes: number): BareSave {
  const script = fileURLToPath(new URL('bare-save-server.js', import.meta.url));
  const child = spawn(process.execPath, [script, folder, String(workers), String(bytes)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async save(how, durationMs) {
      child.stdin.write(`${how} ${durationMs}\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error('the saving program ended');
      const [count, seconds] = String(value).split(' ').map(Number);
      return { count: count ?? 0, seconds: seconds ?? Number.NaN };
    },
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}
