import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LogFiles, syslogTarget } from '#log/files.js';
import { facilityCode, Syslog } from '#log/syslog.js';

const at = new Date(2026, 6, 1, 2, 3, 4);
const line = (level: string, message: string, more: object = {}): string =>
  JSON.stringify({ level, time: at.getTime(), pid: 7, prefix: 'imap: ', message, ...more });

function collect(): { readonly syslog: Syslog; readonly sent: string[] } {
  const sent: string[] = [];
  return { sent, syslog: new Syslog({ facility: 'mail', ident: 'roost', send: (text) => sent.push(text) > 0 }) };
}

describe('syslog', () => {
  for (const [name, code] of [
    ['mail', 2],
    ['daemon', 3],
    ['local0', 16],
    ['local7', 23],
    ['local8', undefined],
    ['', undefined],
  ] as const) {
    it(`knows ${name || 'nothing'} as ${code}`, () => assert.equal(facilityCode(name), code));
  }

  for (const [level, head, text] of [
    ['info', '<22>', 'imap: Hello'],
    ['warning', '<20>', 'imap: Warning: Hello'],
    ['error', '<19>', 'imap: Error: Hello'],
    ['debug', '<23>', 'imap: Debug: Hello'],
  ] as const) {
    it(`writes ${level} as ${head}`, () => {
      const { syslog, sent } = collect();
      assert.equal(syslog.write(line(level, 'Hello'), level, at), true);
      assert.deepEqual(sent, [`${head}Jul  1 02:03:04 roost[7]: ${text}`]);
    });
  }

  it('sends a stack in datagrams of its own, and cuts what is too long', () => {
    const { syslog, sent } = collect();
    syslog.write(line('error', 'x'.repeat(9_000), { error: { stack: 'Error: no\n at a' } }), 'error', at);
    assert.equal(sent.length, 3);
    assert.ok((sent[0]?.length ?? 0) < 8_100);
    assert.match(sent[2] ?? '', /: {6}at a$/);
  });

  it('lets nobody write lines of his own', () => {
    const { syslog, sent } = collect();
    syslog.write(line('info', 'user=<a\n<3>evil>'), 'info', at);
    assert.deepEqual(sent, ['<22>Jul  1 02:03:04 roost[7]: imap: user=<a\\n<3>evil>']);
  });

  it('goes beside files by level', () => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-syslog-'));
    try {
      const { syslog, sent } = collect();
      const path = join(folder, 'info');
      const targets = { errorPath: syslogTarget, infoPath: path, debugPath: path, format: 'text', timestamp: '' } as const;
      const files = new LogFiles(targets, false, syslog);
      files.write(Buffer.from(`${line('info', 'one')}\n${line('error', 'two')}\nlast words\n`), 'imap: ', 9);
      files.reopen();
      files.close();
      assert.equal(readFileSync(path, 'utf8'), 'imap: Info: one\n');
      assert.match(sent.join('\n'), /^<19>.*roost\[7\]: imap: Error: two\n<19>.*roost\[9\]: imap: Error: last words$/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
