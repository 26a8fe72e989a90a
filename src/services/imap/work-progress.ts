/** Where a command stands; undefined where that cannot be told. */
export interface Progress {
  done: number | undefined;
  goal: number | undefined;
}
