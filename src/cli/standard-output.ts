import type { Output } from './output.js';

/**
 * This process's streams.
 * @param onReaderGone nobody reads the output any more (`roostadm fetch ... | head`)
 */
export function standardOutput(onReaderGone: () => void): Output {
  const { stdout, stderr } = process;
  let isGone = false;
  let waiting: (() => void)[] = [];
  const release = (): void => {
    const ready = waiting;
    waiting = [];
    for (const resolve of ready) resolve();
  };
  stdout.on('drain', release);
  stdout.on('error', () => {
    isGone = true;
    release();
    onReaderGone();
  });
  return {
    write: (text) =>
      new Promise((resolve) => {
        if (isGone || stdout.write(text)) resolve();
        else waiting.push(resolve);
      }),
    error: (text) => void stderr.write(text),
  };
}
