// Every message follows from its token, so that any session can tell whether it was given the right text.
import { seededRandom } from './random.js';

/** Subject and text are made from the token; 100 to 6,000 bytes, some with several parts. */
export function messageOf(token: string): string {
  let seed = 7;
  for (const char of token) seed = Math.imul(seed, 31) + char.charCodeAt(0);
  const random = seededRandom(seed);
  const words = Array.from({ length: 10 + random(400) }, () => ['mail', 'roost', 'word', 'thing', 'seven'][random(5)] ?? '');
  const lines: string[] = [];
  for (let at = 0; at < words.length; at += 9) lines.push(words.slice(at, at + 9).join(' '));
  const body = lines.join('\r\n');
  const head = `From: ${token}@stress.test\r\nSubject: ${token}\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\n`;
  if (random(3) > 0) return `${head}\r\n${body}\r\n`;
  const boundary = `b-${token}`;
  return `${head}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="${boundary}"\r\n\r\n--${boundary}\r\nContent-Type: text/plain\r\n\r\n${body}\r\n--${boundary}\r\nContent-Type: text/html\r\n\r\n<p>${token}</p>\r\n--${boundary}--\r\n`;
}

export function textOf(message: string): string {
  return message.slice(message.indexOf('\r\n\r\n') + 4);
}
