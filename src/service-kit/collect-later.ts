// V8 decides after each full collection how far the heap may grow until the next one, so that collecting takes 3 % of the time of its thread. Where
// sessions come and go in a small heap that is a tenth more: of 13 MB, every other second, and with the threads that help, collecting was 8 % of what
// an imap process cost in mixed sessions. Twice the size costs memory only while a process is busy: one that rests collects by itself (idle-memory.ts).
import { setFlagsFromString } from 'node:v8';

/** Part of what was live after the last full collection. */
const growthPercent = 100;

/** To be called once the role is loaded (compile-sooner.ts says why). Other versions of V8 are left as they are. */
export function collectLater(setFlag: (flag: string) => void = setFlagsFromString, version: string = process.versions.v8): void {
  if (version.startsWith('11.')) setFlag(`--heap-growing-percent=${growthPercent}`);
}
