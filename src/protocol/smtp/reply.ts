/** A reply: code, enhanced status code (RFC 3463; none in greetings and EHLO) and one or more lines of text. */
export interface SmtpReply {
  readonly code: number;
  readonly enhanced: string | undefined;
  readonly lines: readonly string[];
}

export function reply(code: number, enhanced: string | undefined, ...lines: readonly string[]): SmtpReply {
  return { code, enhanced, lines };
}

/** Reply text never carries line ends or control characters: what a client sent may be quoted in it. */
const unsafe = /[\u0000-\u001f\u007f]/g;

export function encodeReply({ code, enhanced, lines }: SmtpReply): string {
  const prefix = enhanced === undefined ? '' : `${enhanced} `;
  const [only] = lines;
  if (lines.length === 1 && only !== undefined) return `${code} ${prefix}${only.replace(unsafe, '?')}\r\n`;
  return lines.map((line, index) => `${code}${index === lines.length - 1 ? ' ' : '-'}${prefix}${line.replace(unsafe, '?')}\r\n`).join('');
}
