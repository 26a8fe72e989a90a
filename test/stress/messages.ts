// Every message follows from its token, so that any session can tell whether it was given the right text. Tokens:
//   s3-14          by session 3; d-14 by another program
//   z-s3-14        with octets that only a binary literal may carry (RFC 3516 4.4)
//   s3-14+ts1-5    put together (RFC 4469) of a header of its own and the text of message s1-5
//   s3-14+ws1-5    of a frame of its own and the whole of message s1-5 as a part in it
import { seededRandom } from './random.js';

/** What CATENATE puts together, in order: text that the client sends, or a part of another message. */
export type MessagePiece = { readonly text: string } | { readonly token: string; readonly section: 'TEXT' | undefined };

const composed = /^([^+]+)\+([tw])(.+)$/;

/** Subject and text are made from the token; 100 to 6,000 bytes, some with several parts. One char per octet. */
export function messageOf(token: string): string {
  if (composed.test(token))
    return piecesOf(token)
      .map((piece) => ('text' in piece ? piece.text : piece.section === 'TEXT' ? textOf(messageOf(piece.token)) : messageOf(piece.token)))
      .join('');
  const { head, body, boundary } = plan(token);
  if (isBinary(token)) return `${head}Content-Transfer-Encoding: binary\r\nContent-Type: application/octet-stream\r\n\r\n${body}\r\n`;
  if (boundary === undefined) return `${head}\r\n${body}\r\n`;
  const isEncoded = isEncodedFirst(token);
  const first = isEncoded ? `Content-Transfer-Encoding: base64\r\n\r\n${inBase64(body)}` : `\r\n${body}`;
  return `${head}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="${boundary}"\r\n\r\n--${boundary}\r\nContent-Type: text/plain\r\n${first}\r\n--${boundary}\r\nContent-Type: text/html\r\n\r\n<p>${token}</p>\r\n--${boundary}--\r\n`;
}

/** The content of part 1 without its transfer encoding (RFC 3516 4.2). */
export function firstPartOf(token: string): string {
  const source = composed.exec(token);
  if (source !== null) return source[2] === 't' ? textOf(messageOf(token)) : messageOf(source[3] ?? '');
  const { body, boundary } = plan(token);
  return boundary === undefined || isBinary(token) ? `${body}\r\n` : body;
}

/** @param token of a message that is put together */
export function piecesOf(token: string): readonly MessagePiece[] {
  const [, own = '', how, source = ''] = composed.exec(token) ?? [];
  const head = headOf(token);
  if (how === 't') return [{ text: `${head}\r\n` }, { token: source, section: 'TEXT' }];
  const boundary = `c-${own}`;
  return [
    {
      text: `${head}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="${boundary}"\r\n\r\n--${boundary}\r\nContent-Type: message/rfc822\r\n\r\n`,
    },
    { token: source, section: undefined },
    { text: `\r\n--${boundary}--\r\n` },
  ];
}

/** It can be saved as a binary literal only, for it has a NUL. */
export function isBinary(token: string): boolean {
  return token.startsWith('z-');
}

/** It can be put into another one. */
export function isPlain(token: string): boolean {
  return !token.includes('+');
}

export function textOf(message: string): string {
  return message.slice(message.indexOf('\r\n\r\n') + 4);
}

function headOf(token: string): string {
  return `From: ${token}@stress.test\r\nSubject: ${token}\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\n`;
}

function plan(token: string): { readonly head: string; readonly body: string; readonly boundary: string | undefined } {
  let seed = 7;
  for (const char of token) seed = Math.imul(seed, 31) + char.charCodeAt(0);
  const random = seededRandom(seed);
  const words = Array.from({ length: 10 + random(400) }, () => ['mail', 'roost', 'word', 'thing', 'seven'][random(5)] ?? '');
  const lines: string[] = [];
  for (let at = 0; at < words.length; at += 9) lines.push(words.slice(at, at + 9).join(' '));
  const isWhole = random(3) > 0;
  const body = isBinary(token) ? lines.map((line, index) => `${line}\0\xff${String.fromCharCode(128 + (index % 100))}`) : lines;
  return { head: headOf(token), body: body.join('\r\n'), boundary: isWhole ? undefined : `b-${token}` };
}

function isEncodedFirst(token: string): boolean {
  return token.length % 2 === 0;
}

function inBase64(text: string): string {
  return (
    Buffer.from(text, 'latin1')
      .toString('base64')
      .match(/.{1,76}/g)
      ?.join('\r\n') ?? ''
  );
}
