// STORE: new flags are new file names, so a flag change is a rename. The rename is also the check that nobody was faster: when the old name is gone,
// the folder is read again and the change is applied to what is there now. The index log is written after the renames; if the process dies in
// between, the folder's mtime tells the next opener to look.
import { renameSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { Slicer } from '#util/deadline.js';
import { rowBit } from '../index/columns.js';
import type { Stamps } from '../index/index-state.js';
import { FlagsRecordBuilder, stampsRecord } from '../index/log-record.js';
import { suffixText } from '../index/suffix-table.js';
import type { StoreChange } from '../mailbox.js';
import { flagBit } from '../types.js';
import type { MaildirBox } from './box.js';
import { commit } from './commit.js';
import { storageErrorOf } from './file-calls.js';
import { pathIn } from './file-name.js';
import { type FolderRenames, plainRenames } from './folder-renames.js';
import { knownLetters, lettersOf } from './keyword-mapping.js';
import { ensureLetters } from './letters.js';
import { looksForRenamed, renamedError } from './message-files.js';
import { refreshHeld, rescanHeld } from './reconcile.js';

export interface StoreOutcome {
  /** UIDs left alone because of `unchangedSince`. */
  readonly modified: number[];
  readonly expunged: number[];
  /** The one modseq of all changes; undefined when nothing changed. */
  readonly modSeq: number | undefined;
}

/** Renames of one slice before the clock is looked at. */
const renamesPerLook = 16;
/** From so many on it pays to open the folder. */
const manyRenames = 32;

/** @param count how many may come @throws StorageError */
function openRenames(box: MaildirBox, from: string, count: number): FolderRenames {
  try {
    return (count < manyRenames ? plainRenames : box.options.openRenames)(from, box.curDir);
  } catch (error) {
    // Says so if the mailbox is gone.
    box.folderTimes();
    throw storageErrorOf(error, `open ${from}`);
  }
}

/**
 * Changes the flags of messages.
 * @param uids ascending
 * @param beforeChange called for each row about to change, with its modseq still the old one
 */
export async function storeFlags(
  box: MaildirBox,
  uids: ArrayLike<number>,
  change: StoreChange,
  beforeChange: (row: number) => void,
  signal: AbortSignal,
): Promise<StoreOutcome> {
  return box.mutex.run(async () => {
    await box.catchUp();
    if (change.mode !== 'remove') {
      box.state.keywords.checkCreatable(change.flags.keywords);
      await ensureLetters(box, change.flags.keywords, signal);
    }
    return new FlagStore(box, change, beforeChange).run(uids, signal);
  }, signal);
}

class FlagStore {
  readonly #box: MaildirBox;
  readonly #change: StoreChange;
  readonly #beforeChange: (row: number) => void;
  readonly #modified: number[] = [];
  readonly #expunged: number[] = [];
  /** Suffix id by old suffix, new flags and new keyword set. */
  readonly #suffixes = new Map<number, number>();
  readonly #sets = new Map<number, number>();
  #stamps: Stamps;
  /** In cur/, while changes are applied. */
  #renames: FolderRenames | undefined;
  /** Files have gone from new/ to cur/. */
  #hasTaken = false;

  constructor(box: MaildirBox, change: StoreChange, beforeChange: (row: number) => void) {
    this.#box = box;
    this.#change = change;
    this.#beforeChange = beforeChange;
    this.#stamps = box.state.stamps;
  }

  async run(uids: ArrayLike<number>, signal: AbortSignal): Promise<StoreOutcome> {
    const box = this.#box;
    const builder = new FlagsRecordBuilder(box.state, uids.length);
    let missed = await this.#apply(uids, builder);
    let modSeq = await this.#log(builder);
    // Somebody renamed or removed them: find out, and once more.
    for (let looks = 0; missed.length > 0; looks += 1) {
      if (looks === looksForRenamed) throw renamedError(box, missed.length);
      await rescanHeld(box, undefined, signal);
      const more = new FlagsRecordBuilder(box.state, missed.length);
      this.#stamps = box.state.stamps;
      missed = await this.#apply(missed, more);
      modSeq = (await this.#log(more)) ?? modSeq;
    }
    if (box.options.fsync === 'always' && modSeq !== undefined) await box.syncCur.request();
    return { modified: this.#modified.sort(ascending), expunged: this.#expunged.sort(ascending), modSeq };
  }

  /** @returns UIDs whose file was not where the index says */
  async #apply(uids: ArrayLike<number>, builder: FlagsRecordBuilder): Promise<number[]> {
    const missed: number[] = [];
    const slicer = new Slicer();
    let next = 0;
    // Ids are those of one state, and a look at the folder may have brought another.
    this.#suffixes.clear();
    this.#sets.clear();
    using renames = openRenames(this.#box, this.#box.curDir, uids.length);
    this.#renames = renames;
    while (next < uids.length) {
      try {
        this.#stamps = this.#box.trackedChangeOfKnown(this.#stamps, () => {
          do {
            const end = Math.min(next + renamesPerLook, uids.length);
            for (; next < end; next += 1) this.#applyOne(uids[next] as number, builder, missed);
          } while (next < uids.length && !slicer.isDue);
        });
      } finally {
        if (this.#hasTaken) this.#box.namesTaken();
        this.#hasTaken = false;
      }
      if (next < uids.length) await slicer.pause();
    }
    return missed;
  }

  #applyOne(uid: number, builder: FlagsRecordBuilder, missed: number[]): void {
    const { state } = this.#box;
    const { columns } = state;
    const row = columns.rowOf(uid);
    if (row < 0 || columns.isDead(row)) {
      this.#expunged.push(uid);
      return;
    }
    const { unchangedSince } = this.#change;
    if (unchangedSince !== undefined && (columns.modSeq[row] as number) > unchangedSince) {
      this.#modified.push(uid);
      return;
    }
    const flags = changedFlags(columns.flags[row] as number, this.#change);
    const oldSet = columns.keywordSet[row] as number;
    const set = this.#changedSet(oldSet);
    if (flags === columns.flags[row] && set === oldSet) return;
    const oldSuffix = columns.suffix[row] as number;
    const wasInNew = ((columns.bits[row] as number) & rowBit.inNew) !== 0;
    const suffix = this.#newSuffix(oldSuffix, flags, set);
    if (suffix !== oldSuffix || wasInNew) {
      const name = columns.nameOf(row);
      const box = this.#box;
      const oldName = name + state.suffixes.at(oldSuffix).text;
      const newName = name + state.suffixes.at(suffix).text;
      try {
        if (wasInNew) {
          renameSync(pathIn(box.newDir, oldName), pathIn(box.curDir, newName));
          this.#hasTaken = true;
        } else this.#renames?.rename(oldName, newName);
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') {
          // Those before it have been renamed.
          if (builder.count > 0) box.index.append([builder.finish(), stampsRecord(this.#stamps)]);
          throw storageErrorOf(error, `change flags in ${box.paths.mailDir}`);
        }
        missed.push(uid);
        return;
      }
    }
    this.#beforeChange(row);
    builder.add(uid, flags, set, suffix, false);
  }

  #changedSet(oldSet: number): number {
    const known = this.#sets.get(oldSet);
    if (known !== undefined) return known;
    const { state } = this.#box;
    const set = state.keywordSetId(changedKeywords(state.keywordSetAt(oldSet), this.#change, state.keywords));
    this.#sets.set(oldSet, set);
    return set;
  }

  #newSuffix(oldSuffix: number, flags: number, set: number): number {
    const key = (set * 32 + flags) * 0x100000 + oldSuffix;
    const known = this.#suffixes.get(key);
    if (known !== undefined) return known;
    const suffix = suffixFor(this.#box, oldSuffix, flags, set);
    this.#suffixes.set(key, suffix);
    return suffix;
  }

  async #log(builder: FlagsRecordBuilder): Promise<number | undefined> {
    if (builder.count === 0) return undefined;
    const [applied] = await commit(this.#box, [builder.finish(), stampsRecord(this.#stamps)]);
    this.#box.changed();
    return applied?.kind === 'changed' ? applied.modSeq : undefined;
  }
}

function ascending(a: number, b: number): number {
  return a - b;
}

/** Id of the suffix with these flags and keywords that keeps what is foreign in the old one. */
export function suffixFor(box: MaildirBox, oldSuffix: number, flags: number, keywordSet: number): number {
  const { state } = box;
  const old = state.suffixes.at(oldSuffix);
  const letters = (old.letters & ~knownLetters(state)) | lettersOf(state, state.keywordSetAt(keywordSet));
  return state.suffixes.idOf(suffixText(flags, letters, old));
}

export function changedFlags(current: number, change: StoreChange): number {
  const named = change.flags.system & ~flagBit.recent;
  switch (change.mode) {
    case 'add':
      return current | named;
    case 'remove':
      return current & ~named;
    case 'replace':
      return change.within === undefined ? named : (current & ~change.within.system) | (named & change.within.system);
  }
}

function changedKeywords(current: readonly string[], change: StoreChange, table: MaildirBox['state']['keywords']): readonly string[] {
  switch (change.mode) {
    case 'add':
      return table.add(current, change.flags.keywords);
    case 'remove':
      return table.remove(current, change.flags.keywords);
    case 'replace':
      return change.within?.keywords === false ? current : table.intern(change.flags.keywords);
  }
}

/** Moves messages from new/ to cur/: their \Recent has been taken. The caller holds the mutex. */
export async function emptyNew(box: MaildirBox, signal: AbortSignal): Promise<void> {
  const { state } = box;
  const uids: number[] = [];
  for (let row = 0; row < state.columns.length; row += 1) {
    if (((state.columns.bits[row] as number) & (rowBit.inNew | rowBit.dead)) === rowBit.inNew) uids.push(state.columns.uid[row] as number);
  }
  if (uids.length === 0) return;
  const builder = new FlagsRecordBuilder(state, uids.length);
  const slicer = new Slicer();
  let stamps = state.stamps;
  let next = 0;
  let missed = 0;
  using renames = openRenames(box, box.newDir, uids.length);
  const moveOne = (uid: number): void => {
    const row = state.columns.rowOf(uid);
    if (row < 0 || state.columns.isDead(row)) return;
    const name = state.columns.nameOf(row);
    const oldSuffix = state.columns.suffix[row] as number;
    const flags = state.columns.flags[row] as number;
    const set = state.columns.keywordSet[row] as number;
    const suffix = state.suffixes.at(oldSuffix).text.startsWith(':2,') ? oldSuffix : suffixFor(box, oldSuffix, flags, set);
    try {
      renames.rename(name + state.suffixes.at(oldSuffix).text, name + state.suffixes.at(suffix).text);
      builder.add(uid, flags, set, suffix, false);
    } catch (error) {
      // A Maildir we may only read stays as it is.
      if (errnoOf(error) === 'ENOENT') missed += 1;
      else if (!['EACCES', 'EPERM', 'EROFS'].includes(errnoOf(error) ?? '')) throw storageErrorOf(error, `move to ${box.curDir}`);
    }
  };
  while (next < uids.length) {
    stamps = box.trackedChange(stamps, () => {
      do {
        const end = Math.min(next + renamesPerLook, uids.length);
        for (; next < end; next += 1) moveOne(uids[next] as number);
      } while (next < uids.length && !slicer.isDue);
    });
    box.namesTaken();
    if (next < uids.length) await slicer.pause();
  }
  const records = [stampsRecord(stamps)];
  await commit(box, builder.count > 0 ? [builder.finish(), ...records] : records);
  if (missed > 0) await rescanHeld(box, undefined, signal);
  else await refreshHeld(box, undefined, signal);
}
