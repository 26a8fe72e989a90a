// Quota of one account: what may be taken, what was taken, what clients see of it.
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from '#log/logger.js';
import { sleep } from '#util/deadline.js';
import { type QuotaGuard, type QuotaSave, type ReplacedMail, unlimitedQuota } from '../driver.js';
import { StorageError } from '../errors.js';
import type { QuotaLimits } from '../types.js';
import type { Namespace, QuotaRoot } from '../user.js';
import type { AccountTurn } from './account-turn.js';
import type { QuotaLimitStore } from './limit-file.js';
import { fromQuotaLimits, graceBytes, QuotaRuleSet, type RootLimits, toQuotaLimits } from './rules.js';
import type { QuotaRootSettings, QuotaSettings } from './settings.js';
import type { UsageBackend, UsageCount } from './usage.js';
import { findCrossed, type QuotaWarning } from './warnings.js';

/** Quota of one account, as its mailboxes and QUOTA commands need it. */
export interface AccountQuota {
  /** @param mailboxName visible name */
  guardFor(mailboxName: string): QuotaGuard;
  rootsOf(mailboxName: string, signal: AbortSignal): Promise<readonly QuotaRoot[]>;
  /** One more may be made under this name; nobody else makes one until it is disposed of. @throws StorageError `over-quota`, `in-use` */
  holdNewMailbox(mailboxName: string, signal: AbortSignal): Promise<Disposable>;
  /** Users may be allowed to set limits themselves. */
  readonly canSetLimits: boolean;
  /** @throws StorageError `no-permission`, `not-found` */
  setLimits(root: string, limits: QuotaLimits, signal: AbortSignal): Promise<void>;
  /** A mailbox was deleted with what was in it. */
  mailboxRemoved(): void;
  /** Counts the usage of all roots again. */
  recount(signal: AbortSignal): Promise<void>;
  /** Waits for warnings and files still being written. */
  close(): Promise<void>;
}

const noTurn: Disposable = { [Symbol.dispose]: () => undefined };

export const noAccountQuota: AccountQuota = {
  guardFor: () => unlimitedQuota,
  rootsOf: async () => [],
  holdNewMailbox: async () => noTurn,
  canSetLimits: false,
  setLimits: async () => {
    throw noRight();
  },
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
  /** Those that a root counts. */
  readonly countMailboxes: (root: QuotaRootSettings, signal: AbortSignal) => Promise<number>;
  /** What users have set; limits of the rules hold without. */
  readonly limits?: QuotaLimitStore | undefined;
  /** Of the account, in all processes; undefined: of this session alone. */
  readonly turn?: AccountTurn;
  readonly runWarning: (warning: QuotaWarning) => Promise<void>;
  readonly log: Logger;
}

/** No file system is waited for longer than this. */
const timeLimitMs = 60_000;
/** A log-out waits this long for warning commands, which then go on by themselves. */
const commandsWaitMs = 5000;

/** While this share of a limit, and these amounts, would be left, nobody is looked for who may have saved something in the last seconds. */
const ampleShare = 1 / 16;
const ampleBytes = 64 * 1024 * 1024;
const ampleMessages = 1000;

/** A save that only others' unfinished saves leave no room for waits this long for one of them to end. */
const heldWaitMs = 1000;

function ampleUpTo(limit: number, least: number): number {
  return Number.isFinite(limit) ? limit - Math.max(limit * ampleShare, least) : limit;
}

class Root {
  readonly settings: QuotaRootSettings;
  readonly backend: UsageBackend;
  readonly #rules: () => QuotaRuleSet;

  constructor(settings: QuotaRootSettings, backend: UsageBackend, rules: () => QuotaRuleSet) {
    this.settings = settings;
    this.backend = backend;
    this.#rules = rules;
  }

  /** As they are now: limits can be set. */
  get rules(): QuotaRuleSet {
    return this.#rules();
  }
}

/** @returns the rules of a root with the limits that are set for it at this moment */
export function currentRules(settings: QuotaRootSettings, limits: QuotaLimitStore | undefined): () => QuotaRuleSet {
  const own = new QuotaRuleSet(settings.rules);
  if (limits === undefined) return () => own;
  let known: { readonly set: RootLimits | undefined; readonly rules: QuotaRuleSet } = { set: undefined, rules: own };
  return () => {
    const set = limits.read(settings.name);
    if (!isDeepStrictEqual(set, known.set)) known = { set, rules: set === undefined ? own : new QuotaRuleSet(settings.rules, set) };
    return known.rules;
  };
}

function noRight(): StorageError {
  return new StorageError('no-permission', 'limits are set by the administrator', { clientText: 'Quota can be changed only by admins.' });
}

/** Most accounts have no quota at all. */
export function limitsNothing({ roots, maxMailSize }: QuotaSettings): boolean {
  return roots.length === 0 && !Number.isFinite(maxMailSize);
}

export function createAccountQuota(options: AccountQuotaOptions): AccountQuota {
  return limitsNothing(options.settings) ? noAccountQuota : new Quota(options);
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
      return backend === undefined ? [] : [new Root(settings, backend, currentRules(settings, options.limits))];
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
          usage: { storageBytes: bytes, messages, mailboxes: await this.options.countMailboxes(settings, signal) },
          limits: toQuotaLimits(rules.limitsFor(mailboxName, separator)),
        };
      }),
    );
  }

  async holdNewMailbox(mailboxName: string, signal: AbortSignal): Promise<Disposable> {
    const limited = this.#rootsFor(mailboxName).filter(
      ({ settings, rules }) => settings.isEnforced && Number.isFinite(rules.default.mailboxes),
    );
    if (limited.length === 0) return noTurn;
    const turn = await this.takeTurn(signal);
    try {
      for (const { settings, rules } of limited) {
        const count = await this.options.countMailboxes(settings, signal);
        if (count < rules.default.mailboxes) continue;
        throw new StorageError('over-quota', `quota ${settings.name}: there are ${count} mailboxes`, { clientText: 'Too many mailboxes' });
      }
      return turn;
    } catch (error) {
      turn[Symbol.dispose]();
      throw error;
    }
  }

  async takeTurn(signal: AbortSignal): Promise<Disposable> {
    return (await this.options.turn?.take(signal)) ?? noTurn;
  }

  get canSetLimits(): boolean {
    return this.options.settings.maySetLimits && this.#roots.length > 0;
  }

  async setLimits(name: string, limits: QuotaLimits, signal: AbortSignal): Promise<void> {
    if (!this.canSetLimits || this.options.limits === undefined) throw noRight();
    if (!this.#roots.some(({ settings }) => settings.name === name && !settings.isHidden)) {
      throw new StorageError('not-found', `no quota root ${name}`, { clientText: "Quota root doesn't exist." });
    }
    await this.options.limits.set(name, fromQuotaLimits(limits), signal);
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

  /** @throws StorageError `too-big` */
  checkSize(largest: number): void {
    const { maxMailSize } = this.options.settings;
    if (largest <= maxMailSize) return;
    throw new StorageError('too-big', `message of ${largest} octets, quota_max_mail_size is ${maxMailSize}`, {
      clientText: 'Mail size is larger than the maximum size allowed by server configuration',
    });
  }

  /** Takes room in one root, in place of what the save holds there. @throws StorageError `over-quota` */
  async take(root: Root, mailboxName: string, wanted: UsageCount, save: RootSave): Promise<void> {
    const { settings, rules, backend } = root;
    if (!settings.isEnforced || !rules.hasLimits) return;
    const { room } = backend;
    await this.#pending;
    const limits = rules.limitsFor(mailboxName, this.#separatorOf(mailboxName));
    const fits = this.#fitting(root, mailboxName, wanted);
    const takes = (used: UsageCount): boolean => {
      const bytes = used.bytes + room.held.bytes - save.held.bytes;
      const messages = used.messages + room.held.messages - save.held.messages;
      if (!fits(bytes, messages)) return false;
      save.hold(wanted);
      return true;
    };
    // What others have saved since usage was counted may be missing in it: near the limit it is counted now.
    const isAmple = (used: UsageCount): boolean =>
      used.bytes + room.held.bytes + wanted.bytes <= ampleUpTo(limits.storage, ampleBytes) &&
      used.messages + room.held.messages + wanted.messages <= ampleUpTo(limits.messages, ampleMessages);
    const endMs = performance.now() + heldWaitMs;
    for (;;) {
      const refused = await room.turns.run(async () => {
        const counted = await backend.usage(AbortSignal.timeout(timeLimitMs));
        save.isTight = !isAmple(counted);
        if (!save.isTight && takes(counted)) return undefined;
        // Nothing is refused for the sake of mail that another process has just removed, or of a mailbox that was deleted.
        const used = await backend.currentUsage(AbortSignal.timeout(timeLimitMs));
        return takes(used) ? undefined : { used, version: room.version };
      }, AbortSignal.timeout(timeLimitMs));
      if (refused === undefined) return;
      const { used, version } = refused;
      if (fits(used.bytes, used.messages) && (await room.changedSince(version, endMs - performance.now()))) continue;
      throw this.#exceeded(settings, used, wanted);
    }
  }

  /** In the account's turn: what everybody else has saved is there to be counted. @throws StorageError `over-quota` */
  async checkAgain({ root, wanted }: RootSave, mailboxName: string): Promise<void> {
    await this.#pending;
    const used = await root.backend.currentUsage(AbortSignal.timeout(timeLimitMs));
    if (!this.#fitting(root, mailboxName, wanted)(used.bytes, used.messages)) throw this.#exceeded(root.settings, used, wanted);
  }

  #fitting({ settings, rules }: Root, mailboxName: string, wanted: UsageCount): (bytes: number, messages: number) => boolean {
    const limits = rules.limitsFor(mailboxName, this.#separatorOf(mailboxName));
    const grace = this.options.isDelivery ? graceBytes(settings.grace, limits.storage) : 0;
    // What takes no more than it frees is not refused, however full the account is.
    return (bytes, messages) =>
      (wanted.bytes <= 0 || bytes + wanted.bytes <= limits.storage + grace) &&
      (wanted.messages <= 0 || messages + wanted.messages <= limits.messages);
  }

  #exceeded({ name }: QuotaRootSettings, used: UsageCount, wanted: UsageCount): StorageError {
    return new StorageError(
      'over-quota',
      `quota ${name}: ${used.bytes} octets, ${used.messages} messages, ${wanted.bytes} and ${wanted.messages} more are too many`,
      { clientText: this.options.settings.exceededMessage },
    );
  }

  /**
   * Changes are written one after the other; who asks for the usage waits for them.
   * @param counted called once the change is in the usage of this root
   */
  note(root: Root, bytes: number, messages: number, counted: () => void = () => undefined): void {
    const { backend, settings } = root;
    this.#pending = this.#pending
      .then(() => backend.room.turns.run(() => this.#apply(root, { bytes, messages }, counted)))
      .catch((error: unknown) => {
        this.options.log.error('quota.update-failed', `Quota ${settings.name} could not be updated`, { error, bytes, messages });
      });
  }

  /** The usage is asked for afterwards: what is counted anew at this moment already has the change in it. */
  async #apply(root: Root, { bytes, messages }: UsageCount, counted: () => void): Promise<void> {
    try {
      await root.backend.add(bytes, messages);
    } finally {
      counted();
    }
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

  beginSave(replaced?: ReplacedMail): QuotaSave {
    return new MailboxSave(this.#quota, this.#mailboxName, this.#roots, replaced);
  }

  changed(bytes: number, messages: number): void {
    for (const root of this.#roots) this.#quota.note(root, bytes, messages);
  }

  counts({ backend }: Root): boolean {
    return this.#roots.some((own) => own.backend === backend);
  }

  sharesUsageWith(other: QuotaGuard): boolean {
    return other instanceof MailboxGuard && other.#roots.length === this.#roots.length && other.#roots.every((root) => this.counts(root));
  }
}

class MailboxSave implements QuotaSave {
  readonly #quota: Quota;
  readonly #mailboxName: string;
  readonly #roots: readonly RootSave[];
  #turn: Disposable | undefined;

  constructor(quota: Quota, mailboxName: string, roots: readonly Root[], replaced: ReplacedMail | undefined) {
    this.#quota = quota;
    this.#mailboxName = mailboxName;
    this.#roots = roots.map((root) => new RootSave(root, freedIn(root, replaced)));
  }

  async reserve(bytes: number, messages: number, largest: number = messages === 1 ? bytes : 0): Promise<void> {
    this.#quota.checkSize(largest);
    for (const save of this.#roots) {
      const wanted = { bytes: bytes - save.freed.bytes, messages: messages - save.freed.messages };
      await this.#quota.take(save.root, this.#mailboxName, wanted, save);
    }
  }

  async settle(signal: AbortSignal): Promise<void> {
    const tight = this.#roots.filter(({ isTight }) => isTight);
    if (tight.length === 0) return;
    this.#turn ??= await this.#quota.takeTurn(signal);
    for (const save of tight) await this.#quota.checkAgain(save, this.#mailboxName);
  }

  commit(bytes: number, messages: number): void {
    const turn = this.#turn;
    this.#turn = undefined;
    let left = this.#roots.length;
    for (const save of this.#roots) {
      const letGo = save.end();
      this.#quota.note(save.root, bytes, messages, () => {
        letGo();
        left -= 1;
        // Who comes next reads what has been noted.
        if (left === 0) turn?.[Symbol.dispose]();
      });
    }
  }

  [Symbol.dispose](): void {
    this.#turn?.[Symbol.dispose]();
    this.#turn = undefined;
    for (const save of this.#roots) save.end()();
  }
}

const nothing: UsageCount = { bytes: 0, messages: 0 };

/** What goes away counts only where it was counted. */
function freedIn(root: Root, replaced: ReplacedMail | undefined): UsageCount {
  return replaced?.quota instanceof MailboxGuard && replaced.quota.counts(root) ? replaced : nothing;
}

/** What a save holds in one root. */
class RootSave {
  readonly root: Root;
  readonly freed: UsageCount;
  held: UsageCount = nothing;
  /** What was asked for last. */
  wanted: UsageCount = nothing;
  /** So near a limit that another process may take the same room. */
  isTight = false;
  #isEnded = false;

  constructor(root: Root, freed: UsageCount) {
    this.root = root;
    this.freed = freed;
  }

  /** In place of what was held before; nothing when the save has ended meanwhile. */
  hold({ bytes, messages }: UsageCount): void {
    if (this.#isEnded) return;
    this.wanted = { bytes, messages };
    const before = this.held;
    this.held = { bytes: Math.max(0, bytes), messages: Math.max(0, messages) };
    this.root.backend.room.hold({ bytes: this.held.bytes - before.bytes, messages: this.held.messages - before.messages });
  }

  /** @returns lets go what is held; does nothing the second time */
  end(): () => void {
    if (this.#isEnded) return () => undefined;
    this.#isEnded = true;
    return () => this.root.backend.room.letGo(this.held);
  }
}
