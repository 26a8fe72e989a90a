// The storage suite: what every mailbox format must do, on one process. Run it from a *.test.ts of the format.
import { describe } from 'node:test';
import { appendContract } from './append.js';
import { changesContract } from './changes.js';
import { contentContract } from './content.js';
import { copyContract } from './copy.js';
import { numberingContract } from './numbering.js';
import { storeContract } from './store.js';
import type { MakeWorld } from './world.js';

export function mailboxContract(name: string, makeWorld: MakeWorld): void {
  describe(`${name} mailbox`, () => {
    numberingContract(makeWorld);
    storeContract(makeWorld);
    appendContract(makeWorld);
    copyContract(makeWorld);
    contentContract(makeWorld);
    changesContract(makeWorld);
  });
}
