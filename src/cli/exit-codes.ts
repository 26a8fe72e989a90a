// How `roostadm` ends. The numbers are those of sysexits.h, as Dovecot's administrators and their scripts know them.
import { CodedError } from '#util/coded-error.js';

export const exitCodes = {
  ok: 0,
  usage: 64,
  data: 65,
  'no-user': 67,
  'not-found': 68,
  software: 70,
  'cannot-create': 73,
  temporary: 75,
  permission: 77,
  config: 78,
} as const;

export type ExitReason = keyof typeof exitCodes;

/** Ends the command; `message` is for the administrator. An empty message: everything was said already. */
export class AdminError extends CodedError<ExitReason> {
  override readonly name = 'AdminError';
  /** `Error` in the line of standard error instead of `Fatal`. */
  readonly level: 'Fatal' | 'Error';

  constructor(
    code: ExitReason,
    message: string,
    { level = 'Fatal', cause }: { readonly level?: 'Fatal' | 'Error'; readonly cause?: unknown } = {},
  ) {
    super(code, message, { cause });
    this.level = level;
  }
}
