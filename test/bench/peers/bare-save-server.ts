// What a mail server cannot do without when it saves a message: open, write, fsync, rename; nothing else, in as many threads as are asked for, each with
// a tmp/ and a new/ of its own. That leaves the name to chance: after a loss of power the message may be in tmp/. With `durable`, an fsync of new/ follows; with
// `numbered`, a line for the message is written to a list before that, and the list made durable, too: what a server promises that answers with a UID.
// For each line `HOW MILLISECONDS` on standard input, the number of messages saved in that time, and the time it took, on standard output.
import { closeSync, fdatasyncSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

interface Work {
  readonly folder: string;
  readonly worker: number;
  readonly content: Uint8Array;
}

export type How = 'bare' | 'durable' | 'numbered';

/** What the main thread asks for. */
interface Turn {
  readonly how: How;
  readonly durationMs: number;
}

function save({ folder, worker, content }: Work, { how, durationMs }: Turn, from: number): number {
  const until = performance.now() + durationMs;
  const list = openSync(join(folder, 'list'), 'a');
  let turn = from;
  for (; performance.now() < until; turn++) {
    const path = join(folder, `tmp/${worker}-${turn}`);
    const fd = openSync(path, 'wx');
    writeSync(fd, content);
    fsyncSync(fd);
    closeSync(fd);
    renameSync(path, join(folder, `new/${worker}-${turn}`));
    if (how === 'numbered') writeSync(list, `${turn} :${worker}-${turn}\n`);
    if (how !== 'bare') syncFolder(join(folder, 'new'));
    if (how === 'numbered') fdatasyncSync(list);
  }
  closeSync(list);
  return turn;
}

function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  closeSync(fd);
}

function beWorker(work: Work): void {
  let saved = 0;
  for (const sub of ['tmp', 'new']) mkdirSync(join(work.folder, sub), { recursive: true });
  parentPort?.on('message', (turn: Turn) => {
    const before = saved;
    saved = save(work, turn, saved);
    parentPort?.postMessage(saved - before);
  });
}

function beMain(folder: string, workers: number, bytes: number): void {
  const content = Buffer.alloc(bytes, 'A line of a message that is saved as it is.\r\n');
  const threads = Array.from(
    { length: workers },
    (_, worker) =>
      new Worker(new URL(import.meta.url), { workerData: { folder: join(folder, String(worker)), worker, content } satisfies Work }),
  );
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      const [how, durationMs] = line.split(' ');
      const turn: Turn = { how: how as How, durationMs: Number(durationMs) };
      const startedAt = performance.now();
      const counts = threads.map(
        (thread) =>
          new Promise<number>((resolve) => {
            thread.once('message', resolve);
            thread.postMessage(turn);
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
