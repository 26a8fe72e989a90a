// POP3 commands of the transaction state (RFC 1939, RFC 2449) as typed values. What comes before login is pre-auth/.

/** RFC 2449 4: 255 octets; clients that send more get an error, up to here. */
export const maxPop3LineBytes = 512;

export type Pop3Command =
  | { readonly kind: 'stat' | 'noop' | 'rset' | 'quit' | 'capa' | 'last' }
  /** `message` undefined: all messages. */
  | { readonly kind: 'list' | 'uidl'; readonly message: number | undefined }
  | { readonly kind: 'retr' | 'dele'; readonly message: number }
  | { readonly kind: 'top'; readonly message: number; readonly lines: number }
  | { readonly kind: 'bad'; readonly text: string };

type Parse = (rest: string) => Pop3Command | undefined;

const alone =
  (kind: 'stat' | 'noop' | 'rset' | 'quit' | 'capa' | 'last'): Parse =>
  () => ({ kind });

function number(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

const optional =
  (kind: 'list' | 'uidl'): Parse =>
  (rest) => {
    if (rest === '') return { kind, message: undefined };
    const message = number(rest);
    return message === undefined ? undefined : { kind, message };
  };

const required =
  (kind: 'retr' | 'dele'): Parse =>
  (rest) => {
    const message = number(rest);
    return message === undefined ? undefined : { kind, message };
  };

const verbs: Readonly<Record<string, Parse>> = {
  STAT: alone('stat'),
  NOOP: alone('noop'),
  RSET: alone('rset'),
  QUIT: alone('quit'),
  CAPA: alone('capa'),
  LAST: alone('last'),
  LIST: optional('list'),
  UIDL: optional('uidl'),
  RETR: required('retr'),
  DELE: required('dele'),
  TOP: (rest) => {
    const [first, second, ...more] = rest.split(/ +/);
    const message = number(first);
    const lines = number(second);
    return message === undefined || lines === undefined || more.length > 0 ? undefined : { kind: 'top', message, lines };
  },
};

/** @param rawLine without its line end */
export function parsePop3Command(rawLine: Buffer): Pop3Command {
  const line = rawLine.toString('latin1').trimEnd();
  const blank = line.indexOf(' ');
  const verb = (blank < 0 ? line : line.slice(0, blank)).toUpperCase();
  const parse = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
  // What the client sent is repeated only when it is harmless.
  if (parse === undefined) return { kind: 'bad', text: `Unknown command: ${/^[A-Z]{1,20}$/.test(verb) ? verb : '?'}` };
  return parse(blank < 0 ? '' : line.slice(blank + 1).trim()) ?? { kind: 'bad', text: 'Invalid message number' };
}
