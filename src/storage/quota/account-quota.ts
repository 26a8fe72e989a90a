// Quota of one account: what may be taken, what was taken, what clients see of it.
import type { Logger } from '#log/logger.js';
import { sleep } from '#util/deadline.js';
import { type QuotaGuard, unlimitedQuota } from '../driver.js';
import { StorageError } from '../errors.js';
import type { Namespace, QuotaRoot } from '../user.js';
import { graceBytes, QuotaRuleSet, toQuotaLimits } from './rules.js';
import type { QuotaRootSettings, QuotaSettings } from './settings.js';
import type { UsageBackend, UsageCount } from './usage.js';
import { findCrossed, type QuotaWarning } from './warnings.js';

/** Quota of one account, as its mailboxes and QUOTA commands need it. */
export interface AccountQuota {
  /** @param mailboxName visible name */
  guardFor(mailboxName: string): QuotaGuard;
  rootsOf(mailboxName: string, signal: AbortSignal): Promise<readonly QuotaRoot[]>;
  /** A mailbox was deleted with what was in it. */
  mailboxRemoved(): void;
  /** Counts the usage of all roots again. */
  recount(signal: AbortSignal): Promise<void>;
  /** Waits for warnings and files still being written. */
  close(): Promise<void>;
}

export const noAccountQuota: AccountQuota = {
  guardFor: () => unlimitedQuota,
  rootsOf: async () => [],
  mailboxRemoved: () => undefined,
  recount: async () => undefined,
  close: async () => undefined,
};

export interface AccountQuotaOptions {
  readonly settings: QuotaSettings;
  /** One for each of `settings.roots`. */
  readonly backends: readonly UsageBackend[];
  /** Deliveries may use the grace. */
  readonly isDelivery: boolean;
  readonly namespaceOf: (mailboxName: string) => Namespace | undefined;
  readonly countMailboxes: (signal: AbortSignal) => Promise<number>;
  readonly runWarning: (warning: QuotaWarning) => Promise<void>;
  readonly log: Logger;
}

/** No file system is waited for longer than this. */
const timeLimitMs = 60_000;
/** A log-out waits this long for warning commands, which then go on by themselves. */
const commandsWaitMs = 5000;

interface Root {
  readonly settings: QuotaRootSettings;
  readonly rules: QuotaRuleSet;
  readonly backend: UsageBackend;
}

export function createAccountQuota(options: AccountQuotaOptions): AccountQuota {
  return options.settings.roots.length === 0 && !Number.isFinite(options.settings.maxMailSize) ? noAccountQuota : new Quota(options);
}

class Quota implements AccountQuota {
  readonly options: AccountQuotaOptions;
  readonly #roots: readonly Root[];
  /** Writes of what was taken and freed. */
  #pending: Promise<void> = Promise.resolve();
  readonly #commands = new Set<Promise<void>>();

  constructor(options: AccountQuotaOptions) {
    this.options = options;
    this.#roots = options.settings.roots.flatMap((settings, index) => {
      const backend = options.backends[index];
      return backend === undefined ? [] : [{ settings, backend, rules: new QuotaRuleSet(settings.rules) }];
    });
  }

  guardFor(mailboxName: string): QuotaGuard {
    return new MailboxGuard(this, mailboxName, this.#rootsFor(mailboxName));
  }

  async rootsOf(mailboxName: string, signal: AbortSignal): Promise<readonly QuotaRoot[]> {
    const separator = this.#separatorOf(mailboxName);
    const roots = this.#rootsFor(mailboxName).filter(({ settings }) => !settings.isHidden);
    await this.#pending;
    return Promise.all(
      roots.map(async ({ settings, rules, backend }) => {
        const { bytes, messages } = await backend.currentUsage(signal);
        return {
          name: settings.name,
          usage: { storageBytes: bytes, messages, mailboxes: await this.options.countMailboxes(signal) },
          limits: toQuotaLimits(rules.limitsFor(mailboxName, separator)),
        };
      }),
    );
  }

  mailboxRemoved(): void {
    for (const { backend, settings } of this.#roots) {
      this.#pending = this.#pending
        .then(() => backend.forget())
        .catch((error: unknown) => {
          this.options.log.error('quota.update-failed', `Quota ${settings.name} could not be updated`, { error });
        });
    }
  }

  async recount(signal: AbortSignal): Promise<void> {
    await this.#pending;
    for (const { backend } of this.#roots) await backend.recount(signal);
  }

  async close(): Promise<void> {
    await this.#pending;
    const ended = new AbortController();
    const waited = sleep(commandsWaitMs, ended.signal).catch(() => undefined);
    await Promise.race([Promise.all(this.#commands), waited]);
    ended.abort();
  }

  async check(mailboxName: string, roots: readonly Root[], bytes: number, messages: number, largest: number): Promise<void> {
    const { settings, isDelivery } = this.options;
    if (largest > settings.maxMailSize) {
      throw new StorageError('too-big', `message of ${largest} octets, quota_max_mail_size is ${settings.maxMailSize}`, {
        clientText: 'Mail size is larger than the maximum size allowed by server configuration',
      });
    }
    const separator = this.#separatorOf(mailboxName);
    await this.#pending;
    for (const root of roots) {
      if (!root.settings.isEnforced || !root.rules.hasLimits) continue;
      const limits = root.rules.limitsFor(mailboxName, separator);
      const grace = isDelivery ? graceBytes(root.settings.grace, limits.storage) : 0;
      const fits = (used: UsageCount): boolean =>
        used.bytes + bytes <= limits.storage + grace && used.messages + messages <= limits.messages;
      if (fits(await root.backend.usage(AbortSignal.timeout(timeLimitMs)))) continue;
      // Nothing is refused for the sake of mail that another process has just removed, or of a mailbox that was deleted.
      const used = await root.backend.currentUsage(AbortSignal.timeout(timeLimitMs));
      if (fits(used)) continue;
      throw new StorageError(
        'over-quota',
        `quota ${root.settings.name}: ${used.bytes} octets, ${used.messages} messages, ${bytes} and ${messages} more are too many`,
        { clientText: settings.exceededMessage },
      );
    }
  }

  /** Changes are written one after the other; who asks for the usage waits for them. */
  note(roots: readonly Root[], bytes: number, messages: number): void {
    for (const root of roots) {
      this.#pending = this.#pending
        .then(() => this.#apply(root, bytes, messages))
        .catch((error: unknown) => {
          this.options.log.error('quota.update-failed', `Quota ${root.settings.name} could not be updated`, { error, bytes, messages });
        });
    }
  }

  /** Asked afterwards: what is counted anew at this moment already has the change in it. */
  async #apply(root: Root, bytes: number, messages: number): Promise<void> {
    await root.backend.add(bytes, messages);
    if (root.settings.warnings.length === 0) return;
    const after = await root.backend.usage(AbortSignal.timeout(timeLimitMs));
    const before = { bytes: after.bytes - bytes, messages: after.messages - messages };
    const crossed = findCrossed(root.settings.warnings, root.rules.default, before, after);
    if (crossed === undefined) return;
    const command = this.options.runWarning(crossed).finally(() => this.#commands.delete(command));
    this.#commands.add(command);
  }

  #separatorOf(mailboxName: string): string {
    return this.options.namespaceOf(mailboxName)?.separator ?? '/';
  }

  /** Those that count this mailbox: of its namespace, or of all private ones; and without a rule to ignore it. */
  #rootsFor(mailboxName: string): readonly Root[] {
    const namespace = this.options.namespaceOf(mailboxName);
    return this.#roots.filter(({ settings, rules }) => {
      if (settings.ignoresUnlimited && !rules.hasLimits) return false;
      const isCovered =
        settings.namespacePrefix === undefined ? namespace?.type === 'private' : namespace?.prefix === settings.namespacePrefix;
      return isCovered && !rules.isIgnored(mailboxName, namespace?.separator ?? '/');
    });
  }
}

class MailboxGuard implements QuotaGuard {
  readonly #quota: Quota;
  readonly #mailboxName: string;
  readonly #roots: readonly Root[];

  constructor(quota: Quota, mailboxName: string, roots: readonly Root[]) {
    this.#quota = quota;
    this.#mailboxName = mailboxName;
    this.#roots = roots;
  }

  async reserve(bytes: number, messages: number, largest: number = messages === 1 ? bytes : 0): Promise<void> {
    await this.#quota.check(this.#mailboxName, this.#roots, bytes, messages, largest);
  }

  changed(bytes: number, messages: number): void {
    this.#quota.note(this.#roots, bytes, messages);
  }

  sharesUsageWith(other: QuotaGuard): boolean {
    return (
      other instanceof MailboxGuard &&
      other.#roots.length === this.#roots.length &&
      other.#roots.every(({ backend }) => this.#roots.some((own) => own.backend === backend))
    );
  }
}
