// From settings to the quota of an account.
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { mailSettings } from '#config/groups/mail.js';
import type { SettingsSource } from '#config/settings-source.js';
import type { Logger } from '#log/logger.js';
import { type AccountNamespace, resolveName } from './account-namespace.js';
import type { MailboxDriver, QuotaGuard } from './driver.js';
import { StorageError } from './errors.js';
import { inboxLevels, isInboxLevels, type Levels } from './list/name.js';
import { visibleName } from './list/visible-list.js';
import { type AccountQuota, createAccountQuota, currentRules, limitsNothing, noAccountQuota } from './quota/account-quota.js';
import { AccountTurn } from './quota/account-turn.js';
import { type CountedMailbox, createCountBackend } from './quota/count.js';
import { createQuotaLimitFile, type QuotaLimitStore } from './quota/limit-file.js';
import { createMaildirSizeBackend } from './quota/maildir-size.js';
import { QuotaRuleSet } from './quota/rules.js';
import { type QuotaRootSettings, type QuotaSettings, readQuotaSettings } from './quota/settings.js';
import type { UsageBackend } from './quota/usage.js';
import { runWarning } from './quota/warnings.js';
import type { Namespace } from './user.js';

export interface QuotaUser {
  readonly user: string;
  readonly home: string | undefined;
  readonly isDelivery: boolean;
  readonly namespaces: readonly AccountNamespace[];
  /** A plugin setting or userdb field, variables replaced. */
  readonly read: (key: string) => string | undefined;
}

/** The quota of a user of whom everything is known that needs no mail. */
export interface PreparedQuota {
  /** For one account; the caller closes it. */
  open(): AccountQuota;
}

/** Accounts whose usage is remembered between sessions. */
const maxRememberedAccounts = 1000;

interface BackendNeeds {
  readonly guardOf: (name: string) => QuotaGuard;
  readonly limits: QuotaLimitStore | undefined;
  readonly limitPath: string | undefined;
}

export class QuotaOpener {
  readonly #driver: MailboxDriver;
  readonly #log: Logger;
  readonly #lockTimeoutMs: number | undefined;
  readonly #scripts: ReadonlyMap<string, readonly string[]>;
  /** Sessions of one user share one count. */
  readonly #backends = new LRUCache<string, UsageBackend>({ max: maxRememberedAccounts });
  readonly #limits = new LRUCache<string, QuotaLimitStore>({ max: maxRememberedAccounts });
  readonly #turns = new LRUCache<string, AccountTurn>({ max: maxRememberedAccounts });
  readonly #warned = new Set<string>();

  constructor(options: { readonly settings: SettingsSource; readonly driver: MailboxDriver; readonly log: Logger }) {
    this.#driver = options.driver;
    this.#log = options.log;
    this.#lockTimeoutMs = options.settings.get(mailSettings).mail_max_lock_timeout || undefined;
    this.#scripts = warningScripts(options.settings);
  }

  /** Reads what settings and fields say, once for all sessions of a user. */
  prepare(user: QuotaUser): PreparedQuota {
    const settings = readQuotaSettings(user.read);
    for (const problem of settings.problems) this.#warn(problem);
    return { open: () => (limitsNothing(settings) ? noAccountQuota : this.#open(user, settings)) };
  }

  #open(user: QuotaUser, settings: QuotaSettings): AccountQuota {
    const namespaceOf = (name: string): Namespace | undefined => findNamespace(user.namespaces, name);
    // Counting opens mailboxes, and a mailbox has one guard in a process, whoever opened it last.
    const limits = settings.limitPath === undefined ? undefined : this.#limitsIn(settings.limitPath);
    let quota: AccountQuota = noAccountQuota;
    const guardOf = (name: string): QuotaGuard => quota.guardFor(name);
    quota = createAccountQuota({
      settings,
      backends: settings.roots.map((root) => this.#backendFor(user, root, { guardOf, limits, limitPath: settings.limitPath })),
      isDelivery: user.isDelivery,
      namespaceOf,
      limits,
      turn: this.#turnIn(accountDirOf(user)),
      countMailboxes: async (root, signal) => {
        const rules = new QuotaRuleSet(root.rules);
        const found = await countedLevels(user.namespaces, signal);
        const counted = found.filter(({ at, name }) => isCounted(root, rules, at.namespace, name));
        // INBOX is there from the beginning, on disk only once somebody has opened it.
        const inbox = user.namespaces.find(({ namespace }) => namespace.isInbox);
        const lacksInbox = inbox !== undefined && !found.some(({ name }) => name === 'INBOX');
        return counted.length + (lacksInbox && isCounted(root, rules, inbox.namespace, 'INBOX') ? 1 : 0);
      },
      runWarning: (warning) => runWarning(warning, this.#scripts, { name: user.user, home: user.home }, this.#log),
      log: this.#log,
    });
    return quota;
  }

  #warn(problem: string): void {
    if (this.#warned.has(problem) || this.#warned.size > 1000) return;
    this.#warned.add(problem);
    this.#log.warning('quota.settings', problem);
  }

  #limitsIn(path: string): QuotaLimitStore {
    const known = this.#limits.get(path);
    if (known !== undefined) return known;
    const limits = createQuotaLimitFile(path, this.#lockTimeoutMs);
    this.#limits.set(path, limits);
    return limits;
  }

  #turnIn(accountDir: string): AccountTurn {
    const known = this.#turns.get(accountDir);
    if (known !== undefined) return known;
    const turn = new AccountTurn(join(accountDir, 'roost-quota'), this.#lockTimeoutMs);
    this.#turns.set(accountDir, turn);
    return turn;
  }

  #backendFor(user: QuotaUser, root: QuotaRootSettings, { guardOf, limits, limitPath }: BackendNeeds): UsageBackend {
    const rules = new QuotaRuleSet(root.rules);
    const accountDir = accountDirOf(user);
    const key = JSON.stringify([accountDir, user.user, root, limitPath]);
    const known = this.#backends.get(key);
    if (known !== undefined) return known;
    const mailboxes = async (signal: AbortSignal): Promise<readonly CountedMailbox[]> => {
      const counted = await countedLevels(user.namespaces, signal);
      return counted
        .filter(({ at, name }) => isCounted(root, rules, at.namespace, name))
        .map(({ at, levels, name }) => this.#countedMailbox(at, levels, { name, guardOf }));
    };
    const current = currentRules(root, limits);
    const backend =
      root.backend === 'count'
        ? createCountBackend({ mailboxes })
        : createMaildirSizeBackend({
            path: join(accountDir, 'maildirsize'),
            get limits() {
              return current().default;
            },
            folders: async (signal) => (await mailboxes(signal)).map(({ mailDir }) => mailDir),
          });
    this.#backends.set(key, backend);
    return backend;
  }

  #countedMailbox(
    at: AccountNamespace,
    levels: Levels,
    { name, guardOf }: { readonly name: string; readonly guardOf: (name: string) => QuotaGuard },
  ): CountedMailbox {
    const paths = at.tree.pathsOf(levels);
    return {
      name,
      mailDir: paths.mailDir,
      open: async (signal) => this.#driver.open(paths, { name, quota: guardOf(name), isReadOnly: at.isReadOnly, log: this.#log }, signal),
    };
  }
}

function accountDirOf({ namespaces }: QuotaUser): string {
  const first = namespaces.find(({ namespace }) => namespace.isInbox) ?? namespaces[0];
  return first?.tree.pathsOf(inboxLevels).accountControlDir ?? '/';
}

function isCounted(root: QuotaRootSettings, rules: QuotaRuleSet, namespace: Namespace, name: string): boolean {
  const isCovered = root.namespacePrefix === undefined ? namespace.type === 'private' : namespace.prefix === root.namespacePrefix;
  return isCovered && !rules.isIgnored(name, namespace.separator);
}

interface CountedLevels {
  readonly at: AccountNamespace;
  readonly levels: Levels;
  readonly name: string;
}

/** Every mailbox on disk once, also when two namespaces show it. */
async function countedLevels(all: readonly AccountNamespace[], signal: AbortSignal): Promise<readonly CountedLevels[]> {
  const found: CountedLevels[] = [];
  const trees = new Set<unknown>();
  for (const at of all) {
    if (trees.has(at.tree)) continue;
    trees.add(at.tree);
    const { namespace, tree } = at;
    if (namespace.isInbox && (await tree.kindOf(inboxLevels, signal)) === 'mailbox') found.push({ at, levels: inboxLevels, name: 'INBOX' });
    for (const { levels, isMailbox } of await tree.entries(signal)) {
      if (isMailbox && !(namespace.isInbox && isInboxLevels(levels))) found.push({ at, levels, name: visibleName(namespace, levels) });
    }
  }
  return found;
}

function findNamespace(all: readonly AccountNamespace[], name: string): Namespace | undefined {
  try {
    return resolveName(all, name).at.namespace;
  } catch (error) {
    if (error instanceof StorageError) return undefined;
    throw error;
  }
}

/** `service quota-warning { executable = script /usr/local/bin/warn.sh }`, as Dovecot has it: the name stands for the program. */
function warningScripts(settings: SettingsSource): ReadonlyMap<string, readonly string[]> {
  const scripts = new Map<string, readonly string[]>();
  for (const { name, values } of settings.sections('service')) {
    const [kind, ...program] = (values['executable'] ?? '').split(/\s+/);
    if (kind === 'script' && program[0]?.startsWith('/') === true) scripts.set(name, program);
  }
  return scripts;
}
