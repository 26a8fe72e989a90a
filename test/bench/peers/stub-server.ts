// Answers every IMAP command with OK and every SMTP line with the code its state wants, from constants.
import { createServer, type Socket } from 'node:net';

function serve(socket: Socket): void {
  let isData = false;
  let literal = 0;
  let pending = '';
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  // Both protocols' clients take the first line as the greeting, and this one answers both.
  socket.write('220 * OK stub\r\n');
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
      } else if (/^t\d+ /.test(line)) out += `${line.split(' ')[0]} OK done\r\n`;
      else if (line === 'DATA') {
        isData = true;
        out += '354 go\r\n';
      } else if (line === 'QUIT') out += '221 bye\r\n';
      else if (line !== '') out += '250 OK\r\n';
    }
    if (out !== '') socket.write(out);
  });
}

const server = createServer(serve);
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) console.log(address.port);
});
process.on('SIGTERM', () => process.exit(0));
