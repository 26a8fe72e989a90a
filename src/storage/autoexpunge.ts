// `autoexpunge` and `autoexpunge_max_mails` of mailbox blocks: old messages go when their owner logs out.
import type { Logger } from '#log/logger.js';
import type { AccountNamespace } from './account-namespace.js';
import { compilePattern } from './list/pattern.js';
import { type ConfiguredMailbox, hasWildcard, visibleName } from './list/visible-list.js';
import type { MailboxView } from './mailbox.js';
import type { Uid } from './types.js';
import type { MailUser } from './user.js';

/** A log-out does not take longer than this. */
const timeLimitMs = 30_000;
const sliceSize = 1000;

/** Never throws: a mailbox that cannot be cleaned is logged and left for the next time. */
export async function runAutoexpunge(user: MailUser, all: readonly AccountNamespace[], log: Logger): Promise<void> {
  if (all.every(({ configured }) => configured.every((rule) => !expires(rule)))) return;
  const signal = AbortSignal.timeout(timeLimitMs);
  for (const { namespace, configured } of all) {
    for (const rule of configured) {
      if (!expires(rule)) continue;
      const pattern = visibleName(namespace, rule.levels);
      try {
        for (const name of await namesFor(user, pattern, signal)) await expireMailbox(user, name, rule, signal);
      } catch (error) {
        log.warning('storage.autoexpunge-failed', `Failed to autoexpunge mailbox '${pattern}'`, { error });
      }
    }
  }

  async function namesFor(owner: MailUser, pattern: string, until: AbortSignal): Promise<readonly string[]> {
    const listed = await owner.list([hasWildcard(pattern) ? '*' : pattern], { subscribedOnly: false }, until);
    return listed
      .filter((entry) => entry.isSelectable && compilePattern(pattern, entry.separator).matches(entry.name))
      .map((entry) => entry.name);
  }
}

function expires(rule: ConfiguredMailbox): boolean {
  return rule.autoexpungeMs > 0 || rule.autoexpungeMaxMails > 0;
}

async function expireMailbox(user: MailUser, name: string, rule: ConfiguredMailbox, signal: AbortSignal): Promise<void> {
  const mailbox = await user.openMailbox(name, signal);
  if ((await mailbox.status({ size: false }, signal)).messages === 0) return;
  await using view = await mailbox.openView({ readOnly: false }, signal);
  const expired = await findExpired(view, rule, signal);
  if (expired.length === 0) return;
  const uids = expired.map((seq): Uid => view.uidAt(seq));
  await view.expunge(uids, signal, 'any');
  await view.sync({ allowExpunge: true }, signal);
}

/** The oldest come first in a mailbox, so the search ends at the first message that is young enough. */
async function findExpired(view: MailboxView, rule: ConfiguredMailbox, signal: AbortSignal): Promise<readonly number[]> {
  const surplus = rule.autoexpungeMaxMails > 0 ? Math.max(0, view.count - rule.autoexpungeMaxMails) : 0;
  const expired = Array.from({ length: surplus }, (_, index) => index + 1);
  if (rule.autoexpungeMs === 0) return expired;
  const oldestMs = Date.now() - rule.autoexpungeMs;
  for (let first = surplus + 1; first <= view.count; first += sliceSize) {
    const seqs = Array.from({ length: Math.min(sliceSize, view.count - first + 1) }, (_, index) => first + index);
    const gone = new Set(await view.prepare(seqs, { saveDate: true }, signal));
    for (const seq of seqs) {
      if (gone.has(seq)) continue;
      if (view.saveDateAt(seq) > oldestMs) return expired;
      expired.push(seq);
    }
  }
  return expired;
}
