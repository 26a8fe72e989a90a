// The frame of every mail command: for each user meant by -u, -A or -F, find out where the mail is, become that user, open it, work, close.
import type { AuthMasterClient, UserFields } from '#auth/client.js';
import { findUserBy } from '#auth/find-user.js';
import type { SettingsSource } from '#config/settings-source.js';
import type { Logger } from '#log/logger.js';
import { StorageError } from '#storage/errors.js';
import { createMailStore, mailStoreSections, mailStoreSettings } from '#storage/mail-store.js';
import type { FindUser } from '#storage/owner-directory.js';
import type { MailUser } from '#storage/user.js';
import type { CommandCall } from '../command.js';
import type { Context } from '../context.js';
import { AdminError, type ExitReason } from '../exit-codes.js';
import type { Cell, ColumnSpec } from '../print/format.js';
import { actAs, identityOf } from './identity.js';
import { storageExit, storageText } from './storage-failure.js';

/** One user's mail, open. */
export interface MailAccount {
  readonly name: string;
  readonly mail: MailUser;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Says what failed; the command goes on. */
  fail(reason: ExitReason, message: string): void;
  /** The same for an error of the store: `Can't create mailbox x: Mailbox already exists`. Rethrows other errors. */
  failed(what: string, error: unknown): void;
}

/**
 * Runs `work` for each user, one after the other.
 * @throws AdminError when the users cannot be found out at all; what fails for one user is said, and the next one's turn comes
 */
export async function forEachUser(call: CommandCall, work: (account: MailAccount) => Promise<void>): Promise<void> {
  const { context } = call;
  const settings = await context.settings(mailStoreSettings, mailStoreSections);
  // Connected as whoever runs the command, before it becomes the first user: auth tells others only about themselves.
  let connecting: Promise<AuthMasterClient> | undefined;
  const auth = (): Promise<AuthMasterClient> => {
    connecting ??= context.authMaster();
    return connecting;
  };
  for await (const found of findUsers(call, auth)) {
    context.signal.throwIfAborted();
    try {
      const identity = await identityOf(context, found.user, found.fields);
      await actAs(identity, () => withAccount({ context, settings, auth }, found, work));
    } catch (error) {
      // A query that is wrong is wrong for all users.
      if (context.signal.aborted || (error instanceof AdminError && error.code !== 'permission')) throw error;
      if (error instanceof AdminError) context.fail(error.code, error.message, found.user);
      else if (error instanceof StorageError) context.fail(storageExit[error.code], storageText(error, context.isDebug), found.user);
      else throw error;
    }
  }
}

/** Rows of a mail command: where several users are meant, each begins with the user's name. */
export interface UserPrinter {
  row(account: Pick<MailAccount, 'name'>, cells: readonly Cell[]): Promise<void>;
  end(): Promise<void>;
}

export function printForUsers(call: CommandCall, columns: readonly ColumnSpec[]): UserPrinter {
  const { flag, print, text } = call;
  const isMany = flag('all') || text('user-file') !== undefined || isUserMask(text('user') ?? '');
  if (!isMany) {
    const printer = print(columns);
    return { row: (_account, cells) => printer.row(cells), end: () => printer.end() };
  }
  const printer = print([{ key: 'username', title: 'Username', hidesTitle: true }, ...columns]);
  return { row: ({ name }, cells) => printer.row([name, ...cells]), end: () => printer.end() };
}

const isUserMask = (user: string): boolean => /[*?]/.test(user);

interface Surroundings {
  readonly context: Context;
  readonly settings: SettingsSource;
  readonly auth: () => Promise<AuthMasterClient>;
}

async function withAccount(
  { context, settings, auth }: Surroundings,
  found: UserFields,
  work: (account: MailAccount) => Promise<void>,
): Promise<void> {
  const { signal } = context;
  const name = found.user;
  const log = context.logFor(name);
  // A store for each user: what it writes when it closes must be written as this user.
  const findUser: FindUser = async (other, lookupSignal) => findUserBy(await auth(), 'doveadm')(other, lookupSignal);
  const store = createMailStore({ settings, log, findUser });
  try {
    await using mail = await store.openUser(found, 'doveadm', signal);
    const fail = (reason: ExitReason, message: string): void => context.fail(reason, message, name);
    const failed = (what: string, error: unknown): void => {
      if (!(error instanceof StorageError)) throw error;
      fail(storageExit[error.code], `${what}: ${storageText(error, context.isDebug)}`);
    };
    await work({ name, mail, log, signal, fail, failed });
  } finally {
    await store.close();
  }
}

async function* findUsers(call: CommandCall, authMaster: () => Promise<AuthMasterClient>): AsyncGenerator<UserFields> {
  const { context, flag, text } = call;
  const [user, file] = [text('user'), text('user-file')];
  const given = [user !== undefined, flag('all'), file !== undefined].filter(Boolean).length;
  if (given > 1) throw new AdminError('usage', 'Only one of -u, -A and -F can be used');
  if (given === 0) {
    yield ownUser();
    return;
  }
  const auth = await authMaster();
  const isMask = user !== undefined && isUserMask(user);
  const names =
    file !== undefined ? await readUserFile(file) : flag('all') || isMask ? await listUsers(context, auth, user ?? '*') : [user ?? ''];
  for (const name of names) {
    const found = await auth.lookup(name, 'doveadm', context.signal);
    if (found.kind === 'found') yield found.user;
    else if (found.kind === 'unknown') context.fail('no-user', "User doesn't exist", name);
    else context.fail('temporary', `User lookup failed: ${found.reason}`, name);
  }
}

/** Without -u: the mail of whoever runs the command, where home says. */
function ownUser(): UserFields {
  const { USER: user, HOME: home } = process.env;
  if (process.getuid?.() === 0) throw new AdminError('usage', 'One of -u, -A and -F is needed');
  if (user === undefined || user === '') throw new AdminError('usage', 'USER environment is missing and -u option not used');
  return { user, fields: home === undefined ? {} : { home } };
}

async function listUsers(context: Context, auth: AuthMasterClient, mask: string): Promise<readonly string[]> {
  try {
    return await auth.list(mask, context.signal);
  } catch (cause) {
    if (context.signal.aborted) throw cause;
    throw new AdminError('temporary', `user listing failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

async function readUserFile(path: string): Promise<readonly string[]> {
  const { readFile } = await import('node:fs/promises');
  try {
    const lines = (await readFile(path, 'utf8')).split('\n').map((line) => line.trim());
    return lines.filter((line) => line !== '');
  } catch (cause) {
    throw new AdminError('data', `Can't read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
