// SMTP and LMTP command lines (RFC 5321 4.1, RFC 2033) as typed values. Pure.
import { type MailPath, parsePath } from './address.js';

/** RFC 5321 4.5.3.1.4 asks for 512 octets and more for extensions; this leaves room for every parameter there is. */
export const maxCommandLineBytes = 4096;
const maxParameters = 20;

export type SmtpCommand =
  | { readonly kind: 'helo' | 'ehlo' | 'lhlo'; readonly domain: string }
  | { readonly kind: 'mail'; readonly path: MailPath; readonly parameters: Parameters }
  | { readonly kind: 'rcpt'; readonly path: MailPath; readonly parameters: Parameters }
  | { readonly kind: 'bdat'; readonly size: number; readonly isLast: boolean }
  | { readonly kind: 'data' | 'rset' | 'quit' | 'starttls' | 'help' | 'noop' }
  | { readonly kind: 'vrfy'; readonly text: string }
  | { readonly kind: 'xclient'; readonly attributes: Parameters }
  /** 500: no such command; 501: its arguments are wrong. */
  | { readonly kind: 'bad'; readonly code: 500 | 501; readonly enhanced: string; readonly text: string };

/** Names in upper case; the value is undefined for a name alone. */
export type Parameters = ReadonlyMap<string, string | undefined>;

const bad = (code: 500 | 501, enhanced: string, text: string): SmtpCommand => ({ kind: 'bad', code, enhanced, text });
const badSyntax = (syntax: string): SmtpCommand => bad(501, '5.5.4', `Syntax: ${syntax}`);

/** @param rawLine without its line end; decoded as UTF-8, invalid octets refused */
export function parseSmtpCommand(rawLine: Buffer): SmtpCommand {
  const line = rawLine.toString('utf8');
  if (line.includes('\ufffd') || line.includes('\0')) return bad(500, '5.5.2', 'Error: bad characters in command');
  const blank = line.indexOf(' ');
  const verb = (blank < 0 ? line : line.slice(0, blank)).toUpperCase();
  const rest = blank < 0 ? '' : line.slice(blank + 1).trim();
  const parse = verbs[verb];
  return parse === undefined ? bad(500, '5.5.2', 'Error: command not recognized') : parse(rest);
}

const hello =
  (kind: 'helo' | 'ehlo' | 'lhlo') =>
  (rest: string): SmtpCommand =>
    rest === '' || rest.length > 255 || /[\s<>"()]/.test(rest) ? badSyntax(`${kind.toUpperCase()} hostname`) : { kind, domain: rest };

const alone =
  (kind: 'data' | 'rset' | 'quit' | 'starttls') =>
  (rest: string): SmtpCommand =>
    rest === '' ? { kind } : badSyntax(kind.toUpperCase());

const verbs: Readonly<Record<string, (rest: string) => SmtpCommand>> = {
  HELO: hello('helo'),
  EHLO: hello('ehlo'),
  LHLO: hello('lhlo'),
  MAIL: (rest) => envelope('mail', 'FROM', rest),
  RCPT: (rest) => envelope('rcpt', 'TO', rest),
  DATA: alone('data'),
  BDAT: bdat,
  RSET: alone('rset'),
  QUIT: alone('quit'),
  STARTTLS: alone('starttls'),
  NOOP: () => ({ kind: 'noop' }),
  HELP: () => ({ kind: 'help' }),
  VRFY: (rest) => (rest === '' ? badSyntax('VRFY address') : { kind: 'vrfy', text: rest }),
  XCLIENT: (rest) => {
    const attributes = parseParameters(rest);
    return attributes === undefined || attributes.size === 0 ? badSyntax('XCLIENT attribute=value...') : { kind: 'xclient', attributes };
  },
};

function envelope(kind: 'mail' | 'rcpt', keyword: 'FROM' | 'TO', rest: string): SmtpCommand {
  const syntax = `${kind.toUpperCase()} ${keyword}:<address>`;
  const colon = rest.indexOf(':');
  if (colon < 0 || rest.slice(0, colon).trim().toUpperCase() !== keyword) return badSyntax(syntax);
  const parsed = parsePath(rest.slice(colon + 1));
  if (parsed === undefined)
    return bad(501, kind === 'mail' ? '5.1.7' : '5.1.3', `Bad ${kind === 'mail' ? 'sender' : 'recipient'} address syntax`);
  if (kind === 'rcpt' && parsed.path.text === '') return bad(501, '5.1.3', 'Bad recipient address syntax');
  const parameters = parseParameters(parsed.rest);
  return parameters === undefined ? badSyntax(`${syntax} [parameters]`) : { kind, path: parsed.path, parameters };
}

function parseParameters(text: string): Parameters | undefined {
  const parameters = new Map<string, string | undefined>();
  if (text === '') return parameters;
  for (const word of text.split(/ +/)) {
    const match = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s=]+))?$/.exec(word);
    const name = match?.[1]?.toUpperCase();
    if (name === undefined || parameters.has(name) || parameters.size >= maxParameters) return undefined;
    parameters.set(name, match?.[2]);
  }
  return parameters;
}

/** RFC 3030 2. */
function bdat(rest: string): SmtpCommand {
  const match = /^(\d{1,15})(?: +(LAST))?$/i.exec(rest);
  if (match?.[1] === undefined) return badSyntax('BDAT size [LAST]');
  return { kind: 'bdat', size: Number(match[1]), isLast: match[2] !== undefined };
}
