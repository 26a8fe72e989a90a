// The log of what this command does itself (opening mail, asking auth): lines on standard error, without the libraries of a server's log.
import type { LogFields, Logger } from '#log/logger.js';
import type { Output } from './output.js';

export function createStderrLogger(
  output: Output,
  prefix: string,
  { isVerbose, isDebug }: { readonly isVerbose: boolean; readonly isDebug: boolean },
): Logger {
  const write = (level: string, text: string): void => output.error(`${prefix}${level}: ${text}\n`);
  return {
    isDebug,
    error: (_event, text, fields) => write('Error', isDebug ? text + stackOf(fields) : text),
    warning: (_event, text) => write('Warning', text),
    info: (_event, text) => {
      if (isVerbose || isDebug) write('Info', text);
    },
    debug: (_event, text) => {
      if (isDebug) write('Debug', text);
    },
    child: (_fields, childPrefix) => createStderrLogger(output, childPrefix ?? prefix, { isVerbose, isDebug }),
  };
}

function stackOf(fields: LogFields | undefined): string {
  const error = fields?.['error'];
  return error instanceof Error && error.stack !== undefined ? `\n${error.stack}` : '';
}
