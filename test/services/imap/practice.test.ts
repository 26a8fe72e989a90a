import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLogger, type LoggerOptions } from '#log/logger.js';
import { closeFolder, openFolder } from '#service-kit/rehearsal-folder.js';
import { Stage } from '#service-kit/rehearsal-stage.js';
import { run } from '#service-kit/run-service.js';
import { role } from '#services/imap/main.js';

/** A mailbox that nothing is known of, a large one, one that is known, one that mail is saved to. */
const tried = [0, 1, 6, 9, 10] as const;

describe('Practice of imap', () => {
  it('has nothing but commands that succeed', async () => {
    const { rehearsal } = role;
    assert.ok(rehearsal?.practice !== undefined);
    const { practice } = rehearsal;
    const folder = openFolder();
    assert.notEqual(folder, '');
    const logged: string[] = [];
    const openLog = (options: LoggerOptions): ReturnType<typeof createLogger> =>
      createLogger({ ...options, destination: { write: (line: string) => void logged.push(line) } });
    const stage = new Stage(role, rehearsal, folder, { serviceCount: 0, title: process.title });
    try {
      await practice.prepare?.(folder, new AbortController().signal);
      await stage.open((control) => run(role, control, openLog));
      for (const index of tried) {
        // What is waited for is OK, so that anything else would never end.
        const late = setTimeout(() => stage.close(), 60_000);
        await stage.session(practice.session(index)).finally(() => clearTimeout(late));
        assert.equal(stage.position, 'its end');
      }
      await stage.end();
    } catch (error) {
      throw new Error(`it stopped at ${stage.position}: ${String(error)}\n${logged.join('')}`, { cause: error });
    } finally {
      stage.close();
      closeFolder(folder);
    }
    assert.doesNotMatch(logged.join(''), /"level":"(warning|error)"/);
  });
});
