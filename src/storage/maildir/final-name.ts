// A message's file gets its final name, and loses it again where a save fails.
import { linkSync, renameSync, unlinkSync } from 'node:fs';
import type { MaildirBox } from './box.js';

/** Where the file is before. */
export interface NameSource {
  /** Its path; or the open descriptor of a file without a name, which is linked. */
  readonly source: string | Buffer | number;
  readonly how: 'rename' | 'link';
}

/** @throws system errors; nothing is changed then */
export function giveName({ disk }: MaildirBox, { source, how }: NameSource, to: string | Buffer): void {
  if (typeof source === 'number') {
    if (disk.unnamed === undefined) throw new TypeError('a file without a name, and no way to name it');
    disk.unnamed.link(source, to);
    disk.named(source);
  } else if (how === 'rename') renameSync(source, to);
  else linkSync(source, to);
}

/** @throws system errors */
export function takeNameBack({ source, how }: NameSource, to: string | Buffer): void {
  if (how === 'rename' && typeof source !== 'number') renameSync(to, source);
  else unlinkSync(to);
}
