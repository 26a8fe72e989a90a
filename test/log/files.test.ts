import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LineCollector, LogFiles, type LogTargets } from '#log/files.js';
import { createLogger } from '#log/logger.js';

function withFolder(work: (path: (name: string) => string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'roost-log-'));
  try {
    work((name) => join(folder, name));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const json = (level: string, message: string): string => `{"level":"${level}","time":0,"pid":1,"prefix":"imap: ","message":"${message}"}\n`;

function targets(path: string, change: Partial<LogTargets> = {}): LogTargets {
  return { errorPath: path, infoPath: path, debugPath: path, format: 'auto', timestamp: '', ...change };
}

describe('Log files', () => {
  it('take JSON lines as they are', () => {
    withFolder((path) => {
      const files = new LogFiles(targets(path('log')), true);
      files.write(Buffer.from(json('info', 'a') + json('error', 'b')), 'imap: ', 7);
      files.close();
      assert.equal(readFileSync(path('log'), 'utf8'), json('info', 'a') + json('error', 'b'));
    });
  });

  it('take text when asked to', () => {
    withFolder((path) => {
      const files = new LogFiles(targets(path('log'), { format: 'text' }), false);
      files.write(Buffer.from(json('info', 'a')), 'imap: ', 7);
      files.close();
      assert.equal(readFileSync(path('log'), 'utf8'), 'imap: Info: a\n');
    });
  });

  it('take levels apart: warnings with errors', () => {
    withFolder((path) => {
      const files = new LogFiles(targets(path('error'), { infoPath: path('info'), debugPath: path('debug'), format: 'text' }), false);
      const lines = json('info', 'i') + json('warning', 'w') + json('debug', 'd') + json('error', 'e');
      files.write(Buffer.from(lines), 'imap: ', 7);
      files.close();
      assert.equal(readFileSync(path('error'), 'utf8'), 'imap: Warning: w\nimap: Error: e\n');
      assert.equal(readFileSync(path('info'), 'utf8'), 'imap: Info: i\n');
      assert.equal(readFileSync(path('debug'), 'utf8'), 'imap: Debug: d\n');
    });
  });

  it('make an error line of the last words of a crashing process', () => {
    withFolder((path) => {
      const files = new LogFiles(targets(path('log')), false);
      files.write(Buffer.from(`${json('info', 'a')}FATAL ERROR: heap "limit"\n`), 'imap: ', 7);
      files.close();
      const [, raw = ''] = readFileSync(path('log'), 'utf8').split('\n');
      const { time: _, ...fields } = JSON.parse(raw) as Record<string, unknown>;
      assert.deepEqual(fields, { level: 'error', pid: 7, prefix: 'imap: ', event: 'process.raw', message: 'FATAL ERROR: heap "limit"' });
    });
  });

  it('go on in a new file after they were moved away and opened anew', () => {
    withFolder((path) => {
      const files = new LogFiles(targets(path('log')), false);
      files.write(Buffer.from(json('info', 'a')), '', 1);
      renameSync(path('log'), path('log.1'));
      files.write(Buffer.from(json('info', 'b')), '', 1);
      files.reopen();
      files.write(Buffer.from(json('info', 'c')), '', 1);
      files.close();
      assert.equal(readFileSync(path('log.1'), 'utf8'), json('info', 'a') + json('info', 'b'));
      assert.equal(readFileSync(path('log'), 'utf8'), json('info', 'c'));
      assert.ok(existsSync(path('log')));
    });
  });
});

describe('Lines that arrive in pieces', () => {
  it('are passed on whole, wherever they were cut', () => {
    const text = 'one\ntwo\nthree\n';
    for (let cut = 0; cut <= text.length; cut += 1) {
      const written: string[] = [];
      const lines = new LineCollector((chunk) => written.push(chunk.toString()));
      lines.push(Buffer.from(text.slice(0, cut)));
      lines.push(Buffer.from(text.slice(cut)));
      assert.equal(written.join(''), text);
      assert.ok(
        written.every((chunk) => chunk.endsWith('\n')),
        `cut at ${cut}`,
      );
    }
  });

  it('are ended for a writer that is gone, and for one that never ends its line', () => {
    const written: string[] = [];
    const lines = new LineCollector((chunk) => written.push(chunk.toString()));
    lines.push(Buffer.from('unfinished'));
    lines.end();
    lines.end();
    assert.deepEqual(written, ['unfinished\n']);
    for (let chunk = 0; chunk < 3; chunk += 1) lines.push(Buffer.alloc(40_000, 'x'));
    assert.equal(written.length, 2);
  });
});

describe('A logger', () => {
  it('writes each field once, however often a child sets it again', () => {
    const written: string[] = [];
    const log = createLogger({ prefix: 'imap: ', debug: false, destination: { write: (line: string) => void written.push(line) } });
    log.child({ user: 'bob' }).child({ session: 's' }, 'imap(bob): ').info('session.end', 'Disconnected', { in: 1 });
    log.debug('x', 'not written');
    assert.equal(written.length, 1);
    assert.equal(written[0]?.match(/"prefix"/g)?.length, 1);
    const { time: _, pid: __, ...fields } = JSON.parse(written[0] ?? '') as Record<string, unknown>;
    assert.deepEqual(fields, {
      level: 'info',
      prefix: 'imap(bob): ',
      user: 'bob',
      session: 's',
      in: 1,
      event: 'session.end',
      message: 'Disconnected',
    });
  });
});
