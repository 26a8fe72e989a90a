// Waiting for work that has to be over before anything else may happen, whether it succeeded or not. Promise.allSettled does the same with some ten
// objects for each promise.

/** Resolves when all have ended. @throws the first failure, once all have ended */
export function allEnded(works: readonly Promise<void>[]): Promise<void> {
  const [only] = works;
  if (works.length === 1 && only !== undefined) return only;
  return new Promise((resolve, reject) => {
    let left = works.length;
    let failure: { readonly reason: unknown } | undefined;
    const ended = (): void => {
      left -= 1;
      if (left > 0) return;
      if (failure === undefined) resolve();
      else reject(failure.reason);
    };
    const failed = (reason: unknown): void => {
      failure ??= { reason };
      ended();
    };
    if (left === 0) resolve();
    for (const work of works) work.then(ended, failed);
  });
}
