// Message files that the Maildirs of all servers and scenarios of a run are links to: 100,000 files take ten seconds to write, links to them one or two.
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { message } from './mail.js';
import { mailOwner } from './peers/peer.js';

export interface MessageFiles {
  /** Files `0`, `1`, ... */
  readonly folder: string;
  /** Octets of each file. */
  readonly sizes: readonly number[];
}

const made = new Map<number, { readonly folder: string; readonly sizes: number[] }>();

/** At least `count` files of about `bytes` octets, each with its number in the subject and the sender's name; removed when the program ends. */
export function messageFiles(count: number, bytes: number): MessageFiles {
  let files = made.get(bytes);
  if (files === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'roost-bench-files-'));
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    files = { folder, sizes: [] };
    made.set(bytes, files);
  }
  const { uid, gid } = mailOwner();
  for (let index = files.sizes.length; index < count; index++) {
    const path = join(files.folder, String(index));
    const content = message(bytes, index);
    writeFileSync(path, content);
    if (process.getuid?.() === 0) chownSync(path, uid, gid);
    files.sizes.push(content.length);
  }
  return files;
}
