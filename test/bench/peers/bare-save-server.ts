// What a mail server cannot do without when it saves a message: open, write, fsync, rename; nothing else, in as many threads as are asked for.
// For each line `MILLISECONDS` on standard input, the number of messages saved in that time, and the time it took, on standard output.
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

interface Work {
  readonly folder: string;
  readonly worker: number;
  readonly content: Uint8Array;
}

function save({ folder, worker, content }: Work, durationMs: number, from: number): number {
  const until = performance.now() + durationMs;
  let turn = from;
  for (; performance.now() < until; turn++) {
    const path = join(folder, `tmp-${worker}-${turn}`);
    const fd = openSync(path, 'wx');
    writeSync(fd, content);
    fsyncSync(fd);
    closeSync(fd);
    renameSync(path, join(folder, `${worker}-${turn}`));
  }
  return turn;
}

function beWorker(work: Work): void {
  let saved = 0;
  parentPort?.on('message', (durationMs: number) => {
    const before = saved;
    saved = save(work, durationMs, saved);
    parentPort?.postMessage(saved - before);
  });
}

function beMain(folder: string, workers: number, bytes: number): void {
  const content = Buffer.alloc(bytes, 'A line of a message that is saved as it is.\r\n');
  const threads = Array.from(
    { length: workers },
    (_, worker) => new Worker(new URL(import.meta.url), { workerData: { folder, worker, content } satisfies Work }),
  );
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      const startedAt = performance.now();
      const counts = threads.map(
        (thread) =>
          new Promise<number>((resolve) => {
            thread.once('message', resolve);
            thread.postMessage(Number(line));
          }),
      );
      void Promise.all(counts).then((all) =>
        console.log(`${all.reduce((sum, count) => sum + count, 0)} ${(performance.now() - startedAt) / 1_000}`),
      );
    })
    .on('close', () => process.exit(0));
}

if (isMainThread) beMain(process.argv[2] ?? '.', Number(process.argv[3]), Number(process.argv[4]));
else beWorker(workerData);
