// A whole server at rest: its processes practise, confined and under other users as they are.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { LineClient } from '../support/line-client.js';
import { startRoost } from '../support/running-roost.js';

const patienceMs = 170_000;

describe('A server at rest', () => {
  it('practises in imap and login processes, and serves the next client', { timeout: patienceMs + 30_000 }, async () => {
    await using server = await startRoost({
      protocols: ['imap'],
      pools: { imap: { process_min_avail: 1 } },
      settings: { mail_debug: 'yes', process_practice: 'yes' },
    });
    const deadline = Date.now() + patienceMs;
    for (const role of ['imap-login', 'imap']) {
      const done = new RegExp(`${role}(\\(.*?\\))?: .*Practised \\d+ sessions`);
      while (!done.test(server.log)) {
        assert.ok(Date.now() < deadline, `${role} has not practised:\n${server.log.slice(-4_000)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    // Where few files may be open the server warns of that as it starts.
    assert.doesNotMatch(server.log.replace(/.*Warning: fd limit .*/g, ''), /more slowly|Error:|Warning:/);
    const client = new LineClient(connect(server.ports.imap, '127.0.0.1'), 20_000);
    await client.line();
    await client.ok('LOGIN alice secret');
    const listed: string[] = [];
    client.raw('x LIST "" "*"\r\n');
    for (let line = await client.line(); line !== undefined && !line.startsWith('x '); line = await client.line()) listed.push(line);
    assert.doesNotMatch(listed.join('\n'), /Box|Copies|Moved/);
    await client.ok('SELECT INBOX');
    client.close();
  });
});
