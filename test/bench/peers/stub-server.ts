// Answers every IMAP command with OK and every SMTP line with the code its state wants, from constants.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createSecureServer } from 'node:tls';

/** What a mailbox of 50 messages of 2 KB would say, so that the client reads as much as from a real server. */
const listing = (count: number, items: string): string =>
  Array.from({ length: count }, (_, index) => `* ${index + 1} FETCH (${items})\r\n`).join('');
const structure = '("text" "plain" ("charset" "utf-8") NIL NIL "8bit" 1800 24 NIL NIL NIL NIL)';
const address = '(("Some Sender" NIL "sender" "example.test"))';
const envelope = `("Mon, 1 Jan 2024 00:00:00 +0000" "A subject of some length" ${`${address} `.repeat(4)}NIL NIL NIL "<1@example.test>")`;
const replies: readonly (readonly [RegExp, string])[] = [
  [
    /ENVELOPE/,
    listing(6, `UID 1 FLAGS (\\Seen) INTERNALDATE "01-Jan-2024 00:00:00 +0000" ENVELOPE ${envelope} BODYSTRUCTURE ${structure}`),
  ],
  [/BODY\.PEEK\[\]/, `* 1 FETCH (BODY[] {2000}\r\n${'x'.repeat(1_998)}\r\n)\r\n`],
  [/UID FETCH/, listing(50, 'UID 1 FLAGS (\\Seen)')],
  [
    /SELECT/,
    '* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n* 50 EXISTS\r\n* OK [UIDVALIDITY 1] ok\r\n* OK [UIDNEXT 51] ok\r\n',
  ],
];

function replyTo(line: string): string {
  return replies.find(([pattern]) => pattern.test(line))?.[1] ?? '';
}

function serve(socket: Socket, greeting: string): void {
  let isData = false;
  let literal = 0;
  let pending = '';
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.write(greeting);
  socket.on('data', (chunk: Buffer) => {
    if (literal > 0) {
      const skipped = Math.min(literal, chunk.length);
      literal -= skipped;
      chunk = chunk.subarray(skipped);
    }
    if (isData) {
      if (!chunk.subarray(-5).equals(Buffer.from('\r\n.\r\n')) && !chunk.subarray(-3).equals(Buffer.from('.\r\n'))) return;
      isData = false;
      socket.write('250 OK\r\n');
      return;
    }
    pending += chunk.toString('latin1');
    let out = '';
    for (let end = pending.indexOf('\n'); end >= 0; end = pending.indexOf('\n')) {
      const line = pending.slice(0, end).trimEnd();
      pending = pending.slice(end + 1);
      const size = /\{(\d+)\+\}$/.exec(line)?.[1];
      if (size !== undefined) {
        const wanted = Number(size);
        const here = Math.min(wanted, pending.length);
        pending = pending.slice(here);
        literal = wanted - here;
        out += `${line.split(' ')[0]} OK done\r\n`;
        pending = pending.replace(/^\r\n/, '');
      } else if (/^t\d+ /.test(line)) out += `${replyTo(line)}${line.split(' ')[0]} OK done\r\n`;
      else if (line === 'DATA') {
        isData = true;
        out += '354 go\r\n';
      } else if (line === 'QUIT') out += '221 bye\r\n';
      else if (line !== '') out += '250 OK\r\n';
    }
    if (out !== '') socket.write(out);
  });
}

/** PEM of key and certificate, as JSON. */
const given: { readonly key: string; readonly cert: string } = JSON.parse(readFileSync(0, 'utf8'));
const imap = (socket: Socket): void => serve(socket, '* OK stub\r\n');
const servers: readonly Server[] = [
  createServer(imap),
  createSecureServer(given, imap),
  createServer((socket) => serve(socket, '220 stub\r\n')),
];

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

console.log((await Promise.all(servers.map(portOf))).join(' '));
process.on('SIGTERM', () => process.exit(0));
