// A copy of the server's programs in which the processes that touch mail now and then sleep for some milliseconds before or after a call of the file
// system. What happens once in a thousand soaks between two calls of a process that the kernel lets wait then happens in one of a few.
import { chmodSync, cpSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
const roles = ['imap', 'pop3', 'lmtp', 'smtp', 'deliver'];
const calls = [
  ...['renameSync', 'unlinkSync', 'linkSync', 'openSync', 'readSync', 'writeSync', 'writevSync'],
  ...['statSync', 'fstatSync', 'readdirSync', 'fsyncSync', 'fdatasyncSync'],
];
const longestMs = 25;

/**
 * @param folder of which it becomes a part
 * @param share of the moments before and after calls, 0 to 1
 * @returns the folder to start the server from
 */
export function makeNappingPrograms(folder: string, share: number): string {
  const programs = join(folder, 'programs', 'dist');
  mkdirSync(programs, { recursive: true });
  cpSync(join(checkout, 'dist'), programs, { recursive: true });
  // Not by way of a link: what the login processes may read is told link by link.
  symlinkSync(realpathSync(join(checkout, 'node_modules')), join(folder, 'programs', 'node_modules'));
  for (const path of [join(folder, 'programs'), programs]) chmodSync(path, 0o755);
  for (const role of roles) {
    const path = join(programs, 'roles', `${role}.cjs`);
    writeFileSync(path, `${napping(share)}${readFileSync(path, 'utf8')}`);
  }
  return programs;
}

/** The programs call these functions as properties of the module. */
function napping(share: number): string {
  return `{
  const fs = require('node:fs');
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const nap = () => {
    if (Math.random() < ${share}) Atomics.wait(cell, 0, 0, 1 + Math.random() * ${longestMs});
  };
  for (const name of ${JSON.stringify(calls)}) {
    const call = fs[name];
    fs[name] = function (...parameters) {
      nap();
      const result = call.apply(this, parameters);
      nap();
      return result;
    };
  }
}
`;
}
