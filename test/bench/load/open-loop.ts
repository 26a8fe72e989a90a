// Open-loop load: so many operations a second, whether or not the ones before have ended.

/**
 * Latencies count from when an operation was due, so that a client or server that falls behind does not hide it.
 * @returns ms of each operation
 * @throws the first operation's error
 */
export async function openLoop(
  options: { readonly rate: number; readonly durationMs: number },
  work: (turn: number) => Promise<void>,
): Promise<readonly number[]> {
  const intervalMs = 1_000 / options.rate;
  const count = Math.max(1, Math.round(options.durationMs / intervalMs));
  const latencies: number[] = [];
  const running: Promise<void>[] = [];
  const startedAt = performance.now();
  const one = async (turn: number): Promise<void> => {
    await work(turn);
    latencies.push(performance.now() - (startedAt + turn * intervalMs));
  };
  for (let turn = 0; turn < count; ) {
    for (; turn < count && startedAt + turn * intervalMs <= performance.now(); turn++) running.push(one(turn));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(running);
  return latencies;
}
