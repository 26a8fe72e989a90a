// V8 compiles a function to fast code when it has run through so much bytecode that programs which live for seconds are not kept from their work.
// A server lives for weeks, and its work is spread over thousands of functions of which each takes long to get there: mixed sessions cost 1.4
// times as much at their 2,000th log-in as they do once everything is compiled, some 6,000 log-ins later. With an eighth of V8's own figure they
// are there at the 2,000th. The first 600 cost 1.3 times what they did.
//
// It has to be told at the start: what a function has left to run through is written down when it first runs. But not before the role is loaded:
// V8 takes no compiled code that was kept under other options, which is that of our bundle and of Node's own modules (8 ms for tls, zlib and http,
// where they are loaded later).
import { setFlagsFromString } from 'node:v8';

/** Octets of bytecode that a function runs through between looks at whether it is worth compiling; V8 11's own is 67,584. */
const interruptBudget = 8_000;
/** After a restart all clients come back to the login processes at once, and compiling competes with them. */
const loginInterruptBudget = 20_000;

/** Lets V8 compile sooner what this process runs for the first time from now on. Versions of V8 that count otherwise are left as they are. */
export function compileSooner(
  role: string,
  setFlag: (flag: string) => void = setFlagsFromString,
  version: string = process.versions.v8,
): void {
  if (version.startsWith('11.')) setFlag(`--interrupt-budget=${role.endsWith('-login') ? loginInterruptBudget : interruptBudget}`);
}
