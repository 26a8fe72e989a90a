import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { silentLogger } from '#log/logger.js';
import { KeyFile, type KeyFileOwner, keyFileHeaderBytes } from '#storage/index/key-file.js';
import type { KeyBlock } from '#storage/key-blocks.js';

const owner: KeyFileOwner = { guid: '0123456789abcdef0123456789abcdef', uidValidity: 7 };

function block(keys: Readonly<Record<number, string>>): KeyBlock {
  const uids = Object.keys(keys).map(Number);
  let length = 0;
  const starts = uids.map((uid) => {
    const start = length;
    length += (keys[uid] ?? '').length + 1;
    return start;
  });
  return {
    first: uids[0] ?? 1,
    last: (uids.at(-1) ?? 1) + 2,
    uids: Uint32Array.from(uids),
    starts: Uint32Array.from(starts),
    text: Object.values(keys).join('\n'),
  };
}

const first = block({ 1: 'HELLO', 2: '', 5: 'X' });
const second = block({ 10: 'RE: HELLO THERE', 11: 'Y' });
const sender = block({ 1: 'ANNA <ANNA@EXAMPLE.ORG>' });

describe('roost.keys', () => {
  const folder = mkdtempSync(join(tmpdir(), 'roost-keys-'));
  const path = join(folder, 'roost.keys');
  const open: KeyFile[] = [];
  const file = (): KeyFile => {
    const made = new KeyFile(path, silentLogger);
    open.push(made);
    return made;
  };
  const read = async (field: string, from = file(), whose = owner): Promise<KeyBlock[]> => {
    const blocks: KeyBlock[] = [];
    await from.read(
      whose,
      field,
      (found) => {
        const { first: firstUid, last, uids, starts, text } = found;
        blocks.push({ first: firstUid, last, uids: Uint32Array.from(uids), starts: Uint32Array.from(starts), text });
        return true;
      },
      () => undefined,
    );
    return blocks;
  };
  const closeAll = (): void => {
    for (const made of open.splice(0)) made.close();
  };
  beforeEach(() => {
    closeAll();
    rmSync(path, { force: true });
  });
  after(() => {
    closeAll();
    rmSync(folder, { recursive: true, force: true });
  });

  it('gives back the blocks of the field, whoever wrote them', async () => {
    assert.deepEqual(await read('subject'), []);
    const one = file();
    one.append(owner, 'subject', [first], 3);
    one.append(owner, 'from', [sender], 3);
    const other = file();
    assert.deepEqual(await read('from', other), [sender]);
    other.append(owner, 'subject', [second], 3);
    assert.deepEqual(await read('subject', one), [first, second]);
    assert.deepEqual(await read('to'), []);
  });

  for (const [what, whose] of [
    ['UIDVALIDITY', { ...owner, uidValidity: 8 }],
    ['mailbox', { ...owner, guid: 'f'.repeat(32) }],
  ] as const) {
    it(`is begun anew for another ${what}`, async () => {
      file().append(owner, 'subject', [first], 3);
      const other = file();
      assert.deepEqual(await read('subject', other, whose), []);
      other.append(whose, 'subject', [second], 3);
      assert.deepEqual(await read('subject', file(), whose), [second]);
      assert.deepEqual(await read('subject'), []);
    });
  }

  it('is made again when somebody has removed it', async () => {
    const one = file();
    one.append(owner, 'subject', [first], 3);
    rmSync(path);
    assert.deepEqual(await read('subject', one), []);
    one.append(owner, 'subject', [second], 3);
    assert.deepEqual(await read('subject'), [second]);
  });

  it('ends before what is cut off, wherever, and is begun anew by the next block', async () => {
    file().append(owner, 'subject', [first, second], 3);
    const whole = readFileSync(path);
    for (let length = 0; length < whole.length; length += 1) {
      writeFileSync(path, whole.subarray(0, length));
      const one = file();
      const found = await read('subject', one);
      assert.deepEqual(found, [first, second].slice(0, found.length), `${length} octets`);
      assert.ok(found.length < 2);
      one.append(owner, 'subject', [sender], 3);
      const isTorn = length < keyFileHeaderBytes || !isWholeAt(whole, length);
      assert.deepEqual(await read('subject'), isTorn ? [sender] : [...found, sender], `${length} octets`);
      closeAll();
    }
  });

  it('tells nothing wrong, whatever octet of it has changed', async () => {
    file().append(owner, 'subject', [first, second], 3);
    const whole = readFileSync(path);
    const written = [first, second].map((value) => JSON.stringify(value));
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const changed = Buffer.from(whole);
        changed[at] = (changed[at] as number) ^ change;
        writeFileSync(path, changed);
        for (const found of await read('subject')) assert.ok(written.includes(JSON.stringify(found)), `octet ${at}`);
        closeAll();
      }),
      { numRuns: 300 },
    );
  });

  it('does not grow without end', async () => {
    const large = block(Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [index + 1, 'A'.repeat(300)])));
    const one = file();
    for (let round = 0; round < 10; round += 1) one.append(owner, 'subject', [large], 1000);
    assert.ok(statSync(path).size <= 1024 * 1024);
    assert.ok((await read('subject')).length > 0);
  });
});

/** @returns true when the file, cut there, ends with a whole record */
function isWholeAt(whole: Buffer, length: number): boolean {
  let at = keyFileHeaderBytes;
  while (at < length) at += whole.readUInt32LE(at);
  return at === length;
}
