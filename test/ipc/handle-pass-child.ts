// Receiving process of handle-pass.test.ts: descriptor socket on 3. Each line on stdin makes it take every waiting descriptor, write its own
// pid and the token into each, close it, and answer with the tokens.
import { closeSync, writeSync } from 'node:fs';
import { receiveDescriptor } from '#ipc/handle-pass.js';

process.stdin.on('data', (chunk: Buffer) => {
  for (const _ of chunk.toString().trim().split('\n')) {
    const tokens: string[] = [];
    for (let received = receiveDescriptor(3); received !== undefined; received = receiveDescriptor(3)) {
      writeSync(received.fd, `${process.pid} ${received.token}\n`);
      closeSync(received.fd);
      tokens.push(received.token);
    }
    process.stdout.write(`${JSON.stringify(tokens)}\n`);
  }
});
