// The storage suite on storage that is always slow, or slow now and then: what is usually read at once goes through the thread pool.
import { SlowWatch } from '#util/slow-watch.js';
import { mailboxContract } from '../../contract/mailbox.js';
import { MaildirWorld } from './world.js';

type Slowness = 'always' | 'now and then';

let slowness: Slowness = 'always';
let looks = 0;

function isSlowNow(): boolean {
  looks += 1;
  return slowness === 'always' || looks % 5 < 2;
}

Object.defineProperty(SlowWatch.prototype, 'isPaused', { get: isSlowNow });

for (const kind of ['always', 'now and then'] as const)
  mailboxContract(`Maildir on storage that is slow ${kind},`, (options) => {
    slowness = kind;
    return MaildirWorld.make(options?.maxExpungeHistory === undefined ? {} : { maxExpungeHistory: options.maxExpungeHistory });
  });
