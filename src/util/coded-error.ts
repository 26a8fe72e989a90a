/**
 * Base of each layer's error class: a closed `code`, a `message` for the log (with path, uid, errno) and an optional text that is safe to
 * send to a client.
 */
export class CodedError<Code extends string> extends Error {
  readonly code: Code;
  /** Text without paths, names of other users or configuration details. */
  readonly clientText: string | undefined;

  constructor(code: Code, message: string, options: { readonly cause?: unknown; readonly clientText?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.clientText = options.clientText;
  }
}

/** The errno name (`ENOENT`) of a system error, or undefined for any other value. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
