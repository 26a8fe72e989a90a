// Starts and ends searches whose results are kept up to date (RFC 5267 4.3).
import { flagKeys } from './check-search.js';
import { readSet } from './reply.js';
import type { StressSession } from './session.js';

export async function checkKept(session: StressSession): Promise<void> {
  const { kept, options, view } = session;
  if (view === undefined || !session.capabilities.has('CONTEXT=SEARCH')) return;
  if (kept.size >= 3) {
    const tag = session.any(kept.tags);
    const reply = await session.run(`CANCELUPDATE "${tag}"`);
    if (!reply.startsWith('OK')) session.fail(`CANCELUPDATE: ${reply}`);
    kept.drop(tag);
    return;
  }
  const key = session.any(['ALL', ...Object.keys(flagKeys)]);
  const reply = await session.run(`UID SEARCH RETURN (UPDATE ${options.random(2) === 0 ? 'ALL' : 'COUNT ALL'}) ${key}`);
  if (!reply.startsWith('OK')) session.fail(`SEARCH RETURN (UPDATE): ${reply}`);
  const tag = session.lastTag;
  const line = session.lines.find((text) => text.startsWith(`* ESEARCH (TAG "${tag}")`)) ?? session.fail('no ESEARCH reply');
  if (session.lines.some((text) => text.includes('[NOUPDATE'))) return;
  const all = / ALL ([\d:,]+)/.exec(line)?.[1];
  kept.add(tag, key, all === undefined ? [] : readSet(all));
}

/** All is quiet: each kept result is what the messages say. */
export function judgeKept(session: StressSession, present: ReadonlyMap<number, string | undefined>): void {
  for (const { key, uids } of session.kept.all) {
    const [flag, isSet] = flagKeys[key] ?? ['', true];
    const right = [...present]
      .filter(([, flags]) => key === 'ALL' || (flags?.split(' ').includes(flag) ?? false) === isSet)
      .map(([uid]) => uid);
    const told = [...uids].sort((a, b) => a - b);
    if (right.join(',') !== told.join(','))
      session.fail(
        `the result of ${key} is kept as ${told.filter((uid) => !right.includes(uid))}, without ${right.filter((uid) => !uids.has(uid))}`,
      );
  }
}
