// Maildirs in a temporary folder, for tests.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '#log/logger.js';
import { type MailboxDriver, type MailboxPaths, type QuotaGuard, unlimitedQuota } from '#storage/driver.js';
import type { Mailbox } from '#storage/mailbox.js';
import { createMaildirDriver } from '#storage/maildir/driver.js';
import type { MaildirOptions } from '#storage/maildir/options.js';
import type { MailboxWorld } from '../../contract/world.js';

const never = new AbortController().signal;

export class MaildirWorld implements MailboxWorld {
  readonly root: string;
  driver: MailboxDriver;
  readonly #options: Partial<MaildirOptions>;

  private constructor(root: string, options: Partial<MaildirOptions>) {
    this.root = root;
    this.#options = options;
    this.driver = this.newDriver();
  }

  static async make(options: Partial<MaildirOptions> = {}, folder = tmpdir()): Promise<MaildirWorld> {
    return new MaildirWorld(await mkdtemp(join(folder, 'roost-maildir-')), options);
  }

  /** Like another process: shares nothing with other drivers but the files. */
  newDriver(options: Partial<MaildirOptions> = {}): MailboxDriver {
    return createMaildirDriver({ log: silentLogger, fsync: 'never', ...this.#options, ...options });
  }

  paths(name: string): MailboxPaths {
    const mailDir = join(this.root, `.${name}`);
    return { mailDir, controlDir: mailDir, indexDir: mailDir, accountControlDir: this.root };
  }

  async create(name: string, options: { readonly quota?: QuotaGuard } = {}): Promise<Mailbox> {
    await this.driver.create(this.paths(name), { isMaildirFolder: true }, never);
    return this.open(name, options);
  }

  async open(
    name: string,
    options: { readonly quota?: QuotaGuard; readonly isReadOnly?: boolean } = {},
    driver = this.driver,
  ): Promise<Mailbox> {
    return driver.open(
      this.paths(name),
      { name, quota: options.quota ?? unlimitedQuota, isReadOnly: options.isReadOnly ?? false, log: silentLogger },
      never,
    );
  }

  /** A Maildir as other programs leave it: file names relative to it, with their contents. */
  async foreign(name: string, files: Readonly<Record<string, string>>): Promise<string> {
    const { mailDir } = this.paths(name);
    for (const folder of ['cur', 'new', 'tmp']) await mkdir(join(mailDir, folder), { recursive: true });
    for (const [file, content] of Object.entries(files)) await writeFile(join(mailDir, file), content);
    return mailDir;
  }

  delete(name: string): Promise<void> {
    return this.driver.delete(this.paths(name), never);
  }

  rename(from: string, to: string): Promise<void> {
    return this.driver.rename(this.paths(from), this.paths(to), never);
  }

  /** All of this process's knowledge is given up. */
  async restart(): Promise<void> {
    await this.driver.close();
    this.driver = this.newDriver();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.driver.close();
    await rm(this.root, { recursive: true, force: true });
  }
}
