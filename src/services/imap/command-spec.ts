// A command is a table row: name, states, flags, parse, run. The engine (command-loop.ts) checks the state, runs commands in order, sends
// the changes of the mailbox where the flags allow it, and writes the tagged reply; `run` only does the work.
import type { CommandReader } from '#protocol/imap/reader.js';
import type { MessageInput } from './message-input.js';
import type { Outcome } from './outcome.js';
import type { Session } from './session.js';

export type CommandState = 'any' | 'authenticated' | 'selected';

export type CommandFlag =
  /** Has message numbers in its arguments or replies: EXPUNGE may not be sent while it runs (RFC 9051 7.5.1). Its UID form has not. */
  | 'uses-sequences'
  /** Also exists as `UID name`. */
  | 'has-uid-form'
  /** Exists only as `UID name`. */
  | 'uid-only'
  /** Sends no mailbox changes before its tagged reply (it selects, closes or ends). */
  | 'no-updates'
  /** Looks at the folder of the selected mailbox itself; with the workaround delay-newmail, the only commands that announce new messages. */
  | 'asks-for-news'
  /** May be answered while a search goes on: it neither syncs the selected mailbox nor changes anything (overlap.ts). */
  | 'beside-search'
  /** Removes messages from the selected mailbox: its client hears of it whatever NOTIFY says. */
  | 'removes-messages'
  /** RFC 9738, RFC 9585: may take long over many messages. */
  | 'heavy';

/** Facts about one execution. */
export interface CommandCall {
  readonly tag: string;
  readonly isUid: boolean;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

export interface CommandSpec<Command> {
  readonly name: string;
  /** `any`: also when a mailbox is selected, as `authenticated`; the difference is that it works after LOGOUT was asked for by the master. */
  readonly state: CommandState;
  readonly flags: readonly CommandFlag[];
  /** With it only commands whose arguments look so may be answered while a search goes on (overlap.ts). */
  readonly besideSearch?: RegExp;
  /** Behind the name; must consume everything. @throws ImapSyntaxError, MailboxNameError, BadCharsetError */
  parse(reader: CommandReader, isUid: boolean): Command;
  run(session: Session, command: Command, call: CommandCall): Promise<Outcome>;
}

/** A command whose literals are messages (APPEND, REPLACE): it parses its input piece by piece. */
export interface MessageCommandSpec {
  readonly name: string;
  readonly state: CommandState;
  readonly flags: readonly CommandFlag[];
  /** Decides at a literal whether it is a message (see CommandDecoder). */
  isMessage(argumentsBefore: string, isFirst: boolean): boolean;
  run(session: Session, input: MessageInput, call: CommandCall): Promise<Outcome>;
  /** When the command has no message literal. */
  runWithoutLiteral(session: Session, reader: CommandReader, call: CommandCall): Promise<Outcome>;
}

/** A row of the table, its argument type closed over. */
export interface CommandRow {
  readonly name: string;
  readonly state: CommandState;
  readonly flags: ReadonlySet<CommandFlag>;
  readonly besideSearch: RegExp | undefined;
  /** Parses, and returns what is to be run. */
  readonly prepare: (reader: CommandReader, isUid: boolean) => (session: Session, call: CommandCall) => Promise<Outcome>;
  readonly message: MessageCommandSpec | undefined;
}

export function row<Command>(spec: CommandSpec<Command>): CommandRow {
  return {
    name: spec.name,
    state: spec.state,
    flags: new Set(spec.flags),
    besideSearch: spec.besideSearch,
    prepare: (reader, isUid) => {
      const command = spec.parse(reader, isUid);
      return (session, call) => spec.run(session, command, call);
    },
    message: undefined,
  };
}

export function messageRow(spec: MessageCommandSpec): CommandRow {
  return {
    name: spec.name,
    state: spec.state,
    flags: new Set(spec.flags),
    besideSearch: undefined,
    prepare: (reader) => (session, call) => spec.runWithoutLiteral(session, reader, call),
    message: spec,
  };
}
