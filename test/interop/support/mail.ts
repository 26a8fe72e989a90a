// Messages, and the plain ways of handing one to a server.
import { mustRun } from './programs.js';
import type { World } from './world.js';

export interface MessageOptions {
  readonly subject: string;
  readonly body?: string;
  readonly lineEnd?: '\n' | '\r\n';
  readonly to?: string;
}

/** A binary string, one char per octet. */
export function makeMessage({ subject, body = `Body of ${subject}`, lineEnd = '\r\n', to = 'anna@localhost' }: MessageOptions): string {
  const id = subject.replace(/[^A-Za-z0-9]+/g, '-');
  return [
    'From: "Sender, The" <sender@example.test>',
    `To: <${to}>`,
    `Subject: ${subject}`,
    `Message-ID: <${id}@example.test>`,
    'Date: Sat, 21 Nov 2026 10:00:00 +0100',
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
    '',
    ...body.split('\n'),
    '',
  ].join(lineEnd);
}

/** A message with text, HTML and an attachment of the given size in octets before encoding. */
export function makeMultipart(subject: string, attachmentOctets: number): string {
  const content = Buffer.alloc(attachmentOctets, subject).toString('base64').replace(/.{76}/g, '$&\r\n');
  return [
    'From: sender@example.test',
    'To: anna@localhost',
    `Subject: =?utf-8?q?${subject}_=C3=BC?=`,
    `Message-ID: <multi-${subject}@example.test>`,
    'Date: Sat, 21 Nov 2026 11:00:00 +0100',
    'MIME-Version: 1.0',
    'Content-Type: multipart/mixed; boundary="outer"',
    '',
    'preamble',
    '--outer',
    'Content-Type: multipart/alternative; boundary=inner',
    '',
    '--inner',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: quoted-printable',
    '',
    'Gr=C3=BC=C3=9Fe',
    '--inner',
    'Content-Type: text/html; charset=utf-8',
    '',
    '<p>Hello</p>',
    '--inner--',
    '--outer',
    'Content-Type: application/octet-stream; name="data.bin"',
    'Content-Disposition: attachment; filename="data.bin"',
    'Content-Transfer-Encoding: base64',
    '',
    content,
    '--outer--',
    '',
  ].join('\r\n');
}

/** Through LMTP with swaks, as a mail server would. */
export async function deliver(world: World, user: string, message: string, extra: readonly string[] = []): Promise<void> {
  await mustRun(
    'swaks',
    [
      ...['--protocol', 'LMTP', '--server', `127.0.0.1:${world.ports.lmtp}`, '--ehlo', 'sender.example.test', '--silent', '2'],
      ...['--from', 'sender@example.test', '--to', `${user}@localhost`, '--data', '-', ...extra],
    ],
    { input: Buffer.from(message.replace(/\r\n/g, '\n'), 'latin1') },
  );
}
