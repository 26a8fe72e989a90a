// V8 notes at each place in the code that makes an object how many of those objects survive collections of the young generation, and where nearly all
// do, optimized code makes them among the old ones from then on. A server's sessions live for a while in idle hours, or in one burst, and for
// milliseconds in the next. Of a session that lasts a few milliseconds one or two objects made among the old ones are enough: they lie there as garbage
// until the next full collection, and all that they refer to, which is the whole session, survives every small collection until then and is copied
// twice. In a busy imap process that was 8 KB for each session that had ended, and most of what its garbage collection cost.
import { setFlagsFromString } from 'node:v8';

/**
 * Lets V8 make every object young. To be called once the role is loaded (compile-sooner.ts says why), and before much of it is compiled.
 * Other versions of V8 are left as they are.
 */
export function allocateYoung(setFlag: (flag: string) => void = setFlagsFromString, version: string = process.versions.v8): void {
  if (version.startsWith('11.')) setFlag('--no-allocation-site-pretenuring');
}
