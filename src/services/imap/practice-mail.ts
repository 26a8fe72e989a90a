// Mailboxes for practice (practice.ts): messages such as people get, of a few kinds, the same files in several mailboxes.
import { linkSync, symlinkSync } from 'node:fs';
import { link, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export const messagesOfMailbox = 160;
const inboxMessages = 16;
/** So many files are written before others get their turn. */
const filesAtOnce = 8;
/** More than any command takes in one go: what comes between two slices of a large mailbox is practised as well. */
const messagesOfLarge = 3840;
export const largeName = 'Large';
/** A link to it. */
export const largeAlias = 'Known';
/** Each takes some 10 µs. */
const linksAtOnce = 40;

export function mailboxName(index: number): string {
  return `Box${index}`;
}

/** Writes INBOX, `count` further mailboxes, the empty ones that are copied and moved to, and a large one. */
export async function writePracticeMail(root: string, count: number, signal: AbortSignal): Promise<void> {
  const boxes = [root, ...Array.from({ length: count }, (_, index) => join(root, `.${mailboxName(index)}`))];
  for (const box of [...boxes, join(root, '.Copies'), join(root, '.Moved'), join(root, `.${largeName}`)]) {
    for (const sub of ['cur', 'new', 'tmp']) await mkdir(join(box, sub), { recursive: true, mode: 0o700 });
  }
  for (let first = 0; first < messagesOfMailbox; first += filesAtOnce) {
    await Promise.all(Array.from({ length: filesAtOnce }, (_, index) => writeMessage(boxes, first + index)));
    signal.throwIfAborted();
  }
  await linkLarge(root, signal);
}

/** Each message several times, as further links of the files in the first mailbox. */
async function linkLarge(root: string, signal: AbortSignal): Promise<void> {
  const from = join(root, `.${mailboxName(0)}`, 'cur');
  const to = join(root, `.${largeName}`, 'cur');
  symlinkSync(`.${largeName}`, join(root, `.${largeAlias}`));
  const sizes = Array.from({ length: messagesOfMailbox }, (_, index) => practiceMail(index).length);
  for (let index = 0; index < messagesOfLarge; index += 1) {
    const message = index % messagesOfMailbox;
    const size = sizes[message] as number;
    linkSync(join(from, fileName(message, size)), join(to, fileName(index, size)));
    if (index % linksAtOnce > 0) continue;
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
  }
}

function fileName(index: number, size: number): string {
  const flags = `${index % 10 === 0 ? 'F' : ''}${index % 3 === 0 ? '' : 'S'}`;
  return `${1_700_000_000 + index}.M${index}P1.practice,S=${size},W=${size}:2,${flags}`;
}

async function writeMessage([inbox = '', ...boxes]: readonly string[], index: number): Promise<void> {
  const text = practiceMail(index);
  const name = fileName(index, text.length);
  // What is not new to the user is most of what there is.
  const [first = '', ...others] = index < inboxMessages ? [inbox, ...boxes] : boxes;
  const file = join(first, 'cur', name);
  await writeFile(file, text, 'latin1');
  for (const box of others) await link(file, join(box, 'cur', name));
}

const words = 'The quick brown fox jumps over the lazy dog, as it does in each of these messages.\r\n';

/** @returns a whole message, one character for each octet */
export function practiceMail(index: number): string {
  const head = [
    'Return-Path: <sender@example.org>',
    ...(index % 3 === 0
      ? [
          'Received: from mail.example.org (mail.example.org [192.0.2.1])\r\n\tby mx.example.com with ESMTPS id 4Qx1Yz2Abc for <b@example.com>;\r\n\tSun, 22 Nov 2026 10:00:00 +0000 (UTC)',
          'DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=a;\r\n\th=from:to:subject:date; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\tb=Zm9vYmFy',
        ]
      : []),
    `From: ${index % 4 === 1 ? '=?UTF-8?Q?J=C3=B6rg?=' : `Sender ${index}`} <sender${index % 50}@example.org>`,
    `To: Recipient <b@example.com>${index % 5 === 0 ? ', "Other, One" <c@example.com>,\r\n\td@example.com' : ''}`,
    ...(index % 6 === 0 ? ['Cc: =?utf-8?B?w4RubmU=?= <anne@example.com>'] : []),
    `Subject: ${index % 4 === 2 ? `=?UTF-8?B?${Buffer.from(`Grüße Nummer ${index}`).toString('base64')}?=` : `Message number ${index} of a practice`}`,
    `Message-ID: <${index}.practice@example.org>`,
    ...(index % 3 === 1
      ? [
          `In-Reply-To: <${index - 1}.practice@example.org>`,
          `References: <${index - 2}.practice@example.org>\r\n <${index - 1}.practice@example.org>`,
        ]
      : []),
    `Date: Sun, ${10 + (index % 18)} Nov 2026 10:${10 + (index % 50)}:00 +0100`,
    'MIME-Version: 1.0',
  ].join('\r\n');
  return `${head}\r\n${bodyOf(index)}`;
}

function bodyOf(index: number): string {
  const text = words.repeat(8 + (index % 24));
  const plain = `Content-Type: text/plain; charset=utf-8\r\n\r\n${text}`;
  if (index % 8 < 4) return plain;
  const html = `Content-Type: text/html; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>Gr=C3=BC=C3=9Fe</p>\r\n${text}`;
  if (index % 8 === 4) return html;
  const alternative = multipart('alternative', `a${index}`, [plain, html]);
  if (index % 8 < 7) return alternative;
  const file = `Content-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment;\r\n\tfilename*=UTF-8''%C3%A4.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n${'QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=\r\n'.repeat(20)}`;
  return multipart('mixed', `m${index}`, [alternative, file]);
}

function multipart(kind: string, boundary: string, parts: readonly string[]): string {
  return `Content-Type: multipart/${kind}; boundary="${boundary}"\r\n\r\n${parts.map((part) => `--${boundary}\r\n${part}\r\n`).join('')}--${boundary}--\r\n`;
}
