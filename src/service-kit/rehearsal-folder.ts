// Folders that rehearsals and practice play in, among the temporary files. A process that is killed meanwhile leaves its own, with some thousand links to
// a few messages in it, so each tells whose it is by a link that leads nowhere, `process -> PIDNAMESPACE-PID`, and those of processes that have ended go at
// the next rehearsal of the same user. Processes of another PID namespace (a container with the same folder) cannot be asked for: age decides there, as it
// does for a folder that has no such link yet.
import { lstatSync, mkdtempSync, readdirSync, readlinkSync, rmdirSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errnoOf } from '#util/coded-error.js';
import { Slicer } from '#util/deadline.js';

const folderPrefix = 'roost-rehearsal-';
const ownerLink = 'process';
/** No rehearsal takes so long: what is older is nobody's any more, whoever has the number of its process now. */
const abandonedMs = 3_600_000;
/** With what follows it, names of sockets stay below the 107 octets that they may have. */
const longestParentBytes = 60;
/** At each rehearsal, which leaves one at most: somebody may wait for it. */
const mostRemoved = 8;
const removalSliceMs = 2;

/** @returns a folder that is nobody else's; '' where there can be none, or its sockets' names would be too long */
export function openFolder(): string {
  const parent = tmpdir();
  if (Buffer.byteLength(parent) > longestParentBytes) return '';
  try {
    const folder = mkdtempSync(join(parent, folderPrefix));
    symlinkSync(`${pidNamespace()}-${process.pid}`, join(folder, ownerLink));
    return folder;
  } catch {
    return '';
  }
}

export function closeFolder(folder: string): void {
  if (folder !== '') rmSync(folder, { recursive: true, force: true });
}

/**
 * Removes a folder with all that is in it, a few files at a time, as a client may wait.
 * @throws system errors; the signal's reason
 */
export async function removeFolder(folder: string, signal?: AbortSignal, slicer = new Slicer(removalSliceMs)): Promise<void> {
  // Folders first: while anything is left of it, it tells whose it is.
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => Number(b.isDirectory()) - Number(a.isDirectory()));
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await removeFolder(path, signal, slicer);
    else unlinkSync(path);
    if (slicer.isDue) await slicer.pause();
    signal?.throwIfAborted();
  }
  rmdirSync(folder);
}

/** Removes some of the folders that processes of this user have left behind. Ends early when aborted; never fails. */
export async function removeAbandoned(signal?: AbortSignal): Promise<void> {
  try {
    const parent = tmpdir();
    const abandoned = readdirSync(parent).filter((name) => name.startsWith(folderPrefix) && isAbandoned(join(parent, name)));
    // Others that start at the same time remove the same ones: whose file is gone leaves the rest of that folder to them.
    for (const name of abandoned.slice(0, mostRemoved)) {
      await removeFolder(join(parent, name), signal).catch(() => undefined);
      if (signal?.aborted === true) return;
    }
  } catch {
    // They stay until somebody can read the folder.
  }
}

/** Nobody else can have made a folder of ours, nor put anything into it. */
function isAbandoned(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory() !== true || found.uid !== process.getuid?.()) return false;
  if (Date.now() - found.mtimeMs > abandonedMs) return true;
  const [namespace = '', pid = ''] = linkText(join(path, ownerLink)).split('-');
  return namespace !== '' && namespace === pidNamespace() && /^[1-9]\d*$/.test(pid) && hasEnded(Number(pid));
}

function hasEnded(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return errnoOf(error) === 'ESRCH';
  }
}

/** Digits; '' where the system does not tell, or has no such thing. */
function pidNamespace(): string {
  return /\d+/.exec(linkText('/proc/self/ns/pid'))?.[0] ?? '';
}

/** '' where there is none, or it cannot be read. */
function linkText(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
