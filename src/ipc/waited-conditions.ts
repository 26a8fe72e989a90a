// The condition variables on which the threads of a process wait, for a copy of it that has none of these threads (fork-calls.ts).
//
// glibc up to 2.40 has a signal wait for those who were woken before, until they have left. In a copy, threads count as waiting that are not there:
// V8 wakes its workers now and then although it has been told not to use them, and after some signals the copy's only thread would wait
// for ever. With nobody counted as waiting a signal is nothing.
//
// Layout of pthread_cond_t there (glibc 2.25 to 2.40; later ones wait for nobody):
//   0 sequence of waiters, 8 start of the first group, 16 two counts of references, 24 two sizes, 32 original size,
//   36 flags (3 bits) and number of waiters, 40 two counts of signals, on which waiters wait (futex(2))
import { arch } from 'node:process';

const futexCalls: Readonly<Record<string, number>> = { x64: 202, arm64: 98 };
const commandBits = 0x7f;
const waitBitset = 9;
const signalsAt = 40;
export const waitersAt = 36;
export const flagBits = 7;

export interface WaitedCondition {
  readonly address: number;
  readonly threads: number;
}

/**
 * @param calls of each thread, as /proc/<pid>/task/<tid>/syscall shows it (proc(5)): number and six arguments
 * @returns those on which several threads wait, as pools do; a lone waiter may be one of something else
 */
export function waitedConditions(calls: readonly string[]): readonly WaitedCondition[] {
  const threads = new Map<number, number>();
  for (const call of calls) {
    const [number, word = '', command = ''] = call.trim().split(' ');
    if (Number(number) !== futexCalls[arch] || (Number(command) & commandBits) !== waitBitset) continue;
    // The word is one of two, and the whole is aligned to 8.
    const address = Number(word) - signalsAt - (Number(word) % 8);
    threads.set(address, (threads.get(address) ?? 0) + 1);
  }
  return [...threads].filter(([, count]) => count > 1).map(([address, count]) => ({ address, threads: count }));
}
