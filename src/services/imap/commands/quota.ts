// QUOTA (RFC 9208): GETQUOTA, GETQUOTAROOT, SETQUOTA.
import { parseMailboxOnly } from '#protocol/imap/commands/no-arguments.js';
import { parseGetQuota, parseSetQuota } from '#protocol/imap/commands/quota.js';
import { encodeAstring } from '#protocol/imap/encoder.js';
import { encodeUtf8 } from '#protocol/imap/grammar.js';
import type { QuotaLimits } from '#storage/types.js';
import type { QuotaRoot } from '#storage/user.js';
import { row } from '../command-spec.js';
import { no, ok } from '../outcome.js';
import type { Session } from '../session.js';

const rootName = (session: Session, { name }: QuotaRoot): string => encodeAstring(encodeUtf8(name), session.isUtf8);

/** `* QUOTA root (STORAGE used limit MESSAGE used limit)`; STORAGE counts units of 1,024 octets (RFC 9208 5.1), resources without limit are left out. */
function quotaLine(session: Session, root: QuotaRoot): string {
  const { usage, limits } = root;
  const resources: string[] = [];
  if (limits.storageBytes !== undefined) {
    resources.push(`STORAGE ${Math.ceil(usage.storageBytes / 1024)} ${Math.floor(limits.storageBytes / 1024)}`);
  }
  if (limits.messages !== undefined) resources.push(`MESSAGE ${usage.messages} ${limits.messages}`);
  if (limits.mailboxes !== undefined) resources.push(`MAILBOX ${usage.mailboxes} ${limits.mailboxes}`);
  return `* QUOTA ${rootName(session, root)} (${resources.join(' ')})\r\n`;
}

/** Roots have no list of their own: each belongs to some namespace. */
async function findRoot(session: Session, octets: string, signal: AbortSignal): Promise<QuotaRoot | undefined> {
  for (const { prefix, isInbox } of session.user.namespaces) {
    const roots = await session.user.quotaRoots(isInbox ? 'INBOX' : prefix, signal);
    const root = roots.find(({ name }) => encodeUtf8(name) === octets);
    if (root !== undefined) return root;
  }
  return undefined;
}

export const getQuotaRow = row({
  name: 'GETQUOTA',
  state: 'authenticated',
  flags: ['beside-search'],
  parse: parseGetQuota,
  async run(session, { root: name }, { signal }) {
    const root = await findRoot(session, name, signal);
    if (root === undefined) return no("Quota root doesn't exist.", 'NONEXISTENT');
    session.text(quotaLine(session, root));
    return ok('Getquota completed.');
  },
});

export const getQuotaRootRow = row({
  name: 'GETQUOTAROOT',
  state: 'authenticated',
  flags: ['beside-search'],
  parse: parseMailboxOnly,
  async run(session, { mailbox }, { signal }) {
    // RFC 9208 4.1.2: the mailbox need not exist.
    const roots = await session.user.quotaRoots(mailbox, signal);
    session.text(`* QUOTAROOT ${session.mailboxName(mailbox)}${roots.map((root) => ` ${rootName(session, root)}`).join('')}\r\n`);
    for (const root of roots) session.text(quotaLine(session, root));
    return ok('Getquotaroot completed.');
  },
});

/** Resources that can be limited, with their units. */
const settable: Readonly<Record<string, { readonly key: keyof QuotaLimits; readonly unit: number }>> = {
  STORAGE: { key: 'storageBytes', unit: 1024 },
  MESSAGE: { key: 'messages', unit: 1 },
  MAILBOX: { key: 'mailboxes', unit: 1 },
};

/** RFC 9208 4.1.3: what is not listed has no limit afterwards. */
export const setQuotaRow = row({
  name: 'SETQUOTA',
  state: 'authenticated',
  flags: [],
  parse: parseSetQuota,
  async run(session, { root: name, limits }, { signal }) {
    if (!session.user.canSetQuota) return no('Quota limits are set by the administrator.', 'NOPERM');
    const root = await findRoot(session, name, signal);
    if (root === undefined) return no("Quota root doesn't exist.", 'NONEXISTENT');
    const wanted: { -readonly [Key in keyof QuotaLimits]: QuotaLimits[Key] } = {
      storageBytes: undefined,
      messages: undefined,
      mailboxes: undefined,
    };
    for (const { resource, limit } of limits) {
      const known = settable[resource.toUpperCase()];
      if (known === undefined) return no(`Resource ${resource.slice(0, 64)} cannot be limited.`, 'CANNOT');
      // Storage keeps no limit of 0: the smallest one is what comes closest.
      wanted[known.key] = Math.min(Math.max(limit, 1) * known.unit, Number.MAX_SAFE_INTEGER);
    }
    await session.user.setQuota(root.name, wanted, signal);
    const changed = await findRoot(session, name, signal);
    if (changed !== undefined) session.text(quotaLine(session, changed));
    return ok('Setquota completed.');
  },
});
