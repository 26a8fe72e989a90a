// The UID of a message in the name of its file: `<seconds>.M<microseconds>P<pid>R<random>U<uid>-<check>.<host>,S=<octets>,W=<octets>`.
//
// Who saves a message tells its UID, and that must not change when the power goes: either dovecot-uidlist is durable first, which is a second fsync of
// another file, or the name says it, which has to be durable anyway. A file that the list does not know is then given the UID of its name, if that is above all
// of the list. Other programs see a unique name like any other.
//
// The check is over the whole base name and the GUID of the mailbox (the header of dovecot-uidlist), so that the name of a file that was copied, moved or
// restored from elsewhere says nothing.
import { crc32 } from '#util/crc32.js';
import { baseLength } from './file-name.js';

const checkDigits = 8;
const mostUidDigits = 10;

/** @param guid of the mailbox @returns undefined where the base name is not of the form that `NameMaker` gives */
export function nameWithUid(baseName: string, uid: number, guid: string): string | undefined {
  const at = baseName.indexOf('.', baseName.indexOf('.') + 1);
  if (guid === '' || at <= 0) return undefined;
  const before = `${baseName.slice(0, at)}U${uid}`;
  const behind = baseName.slice(at);
  return `${before}-${checkOf(before, behind, guid)}${behind}`;
}

/** @param guid of the mailbox the file is in @returns 0: the name says none, or not of this mailbox */
export function uidInName(fileName: string, guid: string): number {
  const mark = markIn(fileName);
  if (mark < 0 || guid === '') return 0;
  let at = mark + 1;
  let uid = 0;
  for (; at <= mark + mostUidDigits && isDigit(fileName.charCodeAt(at)); at += 1) uid = uid * 10 + fileName.charCodeAt(at) - 0x30;
  const end = at + 1 + checkDigits;
  if (fileName[at] !== '-' || fileName[end] !== '.' || uid === 0 || uid >= 0xffffffff) return 0;
  const check = checkOf(fileName.slice(0, at), fileName.slice(end, baseLength(fileName)), guid);
  return fileName.slice(at + 1, end) === check ? uid : 0;
}

/** Where `U` with a digit behind it is between the first two dots; -1: nowhere. A folder may have a million names without it. */
function markIn(fileName: string): number {
  for (let at = fileName.indexOf('.') + 1; at < fileName.length; at += 1) {
    const code = fileName.charCodeAt(at);
    if (code === 0x2e) return -1;
    if (code === 0x55 && isDigit(fileName.charCodeAt(at + 1))) return at;
  }
  return -1;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function checkOf(before: string, behind: string, guid: string): string {
  return crc32(Buffer.from(`${guid} ${before}${behind}`, 'latin1'))
    .toString(16)
    .padStart(checkDigits, '0');
}
