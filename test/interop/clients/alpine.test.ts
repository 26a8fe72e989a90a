// alpine, driven over a terminal as a person would.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { spawn } from 'node-pty';
import { patienceMs } from '../../support/patience.js';
import { accountState, ImapClient } from '../support/imap.js';
import { makeMessage } from '../support/mail.js';
import { cleanEnvironment, requireProgram } from '../support/programs.js';
import { contents, fillAccount, type Session, startSession } from '../support/session.js';
import { password } from '../support/world.js';

/** A program on a terminal: what it has drawn so far, without the drawing. */
class Screen {
  readonly #terminal;
  #drawn = '';
  #from = 0;
  #changed: (() => void) | undefined;
  readonly #ended: Promise<number>;

  constructor(name: string, args: readonly string[], home: string, test: TestContext) {
    const terminal = spawn(name, [...args], {
      name: 'vt100',
      cols: 120,
      rows: 40,
      cwd: home,
      env: { ...cleanEnvironment({ HOME: home, TERM: 'vt100' }) } as Record<string, string>,
    });
    this.#terminal = terminal;
    let isOver = false;
    terminal.onData((text) => {
      // Cursor movements become blanks, so that words drawn apart stay apart.
      this.#drawn += text.replace(/\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]|[\x00-\x1f]/g, ' ');
      this.#changed?.();
    });
    this.#ended = new Promise((resolve) => {
      terminal.onExit(({ exitCode }) => {
        isOver = true;
        resolve(exitCode);
      });
    });
    test.after(() => {
      if (!isOver) terminal.kill('SIGKILL');
    });
  }

  /** Waits until it is drawn after the last thing that was waited for. */
  async shows(pattern: RegExp): Promise<void> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const match = pattern.exec(this.#drawn.slice(this.#from));
      if (match !== null) {
        this.#from += match.index + match[0].length;
        return;
      }
      if (Date.now() > deadline)
        throw new Error(`${pattern} was not shown; drawn since: ${this.#drawn.slice(this.#from).replace(/ +/g, ' ')}`);
      await this.#drawsWithin(200);
    }
  }

  type(text: string): void {
    this.#terminal.write(text);
  }

  /**
   * Answers a question that is drawn. alpine throws away what was typed before it reads, and draws
   * before it reads: an answer that changes nothing on the screen was lost and is given again.
   */
  async answer(text: string): Promise<void> {
    const deadline = Date.now() + patienceMs;
    while (await this.#drawsWithin(100));
    const from = this.#drawn.length;
    while (this.#drawn.slice(from).trim() === '') {
      if (Date.now() > deadline) throw new Error(`${JSON.stringify(text)} was not taken; drawn: ${this.#drawn.slice(this.#from)}`);
      this.#terminal.write(text);
      while ((await this.#drawsWithin(3000)) && this.#drawn.slice(from).trim() === '');
    }
  }

  /** Waits until something is drawn, but no longer; whether it was. */
  #drawsWithin(milliseconds: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), milliseconds);
      this.#changed = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  ended(): Promise<number> {
    return this.#ended;
  }
}

/** Opens the inbox of anna and waits for its index. */
async function openIndex(test: TestContext, { world, folder }: Session, shown: RegExp): Promise<Screen> {
  const server = `127.0.0.1:${world.ports.imap}/user=anna/notls/novalidate-cert`;
  const rc = join(folder, 'pinerc');
  writeFileSync(
    rc,
    `personal-name=Anna
user-domain=example.test
inbox-path={${server}}INBOX
folder-collections="Mail" {${server}}[]
default-fcc=""
feature-list=save-will-not-delete,
	enable-flag-cmd,
	enable-jump-command,
	quit-without-confirm,
	expunge-without-confirm,
	no-enable-full-header-cmd,
	enable-aggregate-command-set,
	auto-open-next-unread
initial-keystroke-list=
last-version-used=9.99
mail-check-interval=0
incoming-startup-rule=first
`,
  );
  const screen = new Screen('alpine', ['-p', rc, '-i'], folder, test);
  await screen.shows(/PASSWORD/i);
  screen.type(`${password}\r`);
  await screen.shows(/Preserve password.*\bNo\b/);
  await screen.answer('n');
  await screen.shows(shown);
  return screen;
}

/** Makes a message the current one. */
async function jumpTo(screen: Screen, message: number): Promise<void> {
  screen.type('j');
  await screen.shows(/Message number to jump to/);
  screen.type(`${message}\r`);
  await screen.shows(/Help/);
}

async function save(screen: Screen, message: number, folder: string, isNew = false): Promise<void> {
  await jumpTo(screen, message);
  screen.type('s');
  await screen.shows(/to folder \[/);
  screen.type(`${folder}\r`);
  if (isNew) {
    await screen.shows(/doesn't exist\.\s+Create\?.*N\s+No/);
    await screen.answer('y');
  }
  // One that takes its time is shown with a busy sign instead.
  await screen.shows(new RegExp(`Message ${message} copied to folder "${folder}"|Saving\\s+DONE`));
}

async function quit(screen: Screen): Promise<void> {
  screen.type('q');
  await screen.shows(/Alpine finished/);
  assert.equal(await screen.ended(), 0);
}

const bodyOf = (text: string): string => `${text.length}:${createHash('sha1').update(Buffer.from(text, 'latin1')).digest('hex')}`;

describe('alpine with Roost', () => {
  it('saves, flags, deletes and expunges; a second session sees what another client has done since', async (test) => {
    requireProgram('alpine');
    const session = await startSession(test);
    const { world, server } = session;
    await fillAccount(world);
    const first = await openIndex(test, session, /five/);
    await save(first, 2, 'Work');
    await jumpTo(first, 4);
    first.type('d');
    await first.shows(/Message 4 marked for deletion/);
    await jumpTo(first, 5);
    first.type('*');
    await first.shows(/\[Important\]/);
    first.type('\r');
    await first.shows(/Flagged message 5/);
    first.type('x');
    await first.shows(/1 message expunged/);
    await save(first, 1, 'Archive', true);
    await quit(first);

    const after = (await accountState(world.ports.imap, 'anna')).mailboxes;
    assert.deepEqual(
      after['INBOX']?.messages.map(({ uid, flags, body }) => [uid, flags.join(' '), body]),
      [
        [1, '\\Seen', bodyOf(contents[0] ?? '')],
        [2, '', bodyOf(contents[1] ?? '')],
        [3, '\\Flagged', bodyOf(contents[2] ?? '')],
        [5, '\\Flagged', bodyOf(contents[4] ?? '')],
      ],
    );
    assert.equal(after['Work']?.messages.at(-1)?.body, bodyOf(contents[1] ?? ''));
    assert.deepEqual(
      after['Archive']?.messages.map(({ flags, body }) => [flags.join(' '), body]),
      [['\\Seen', bodyOf(contents[0] ?? '')]],
    );

    const other = await ImapClient.login(world.ports.imap, 'anna');
    const news = makeMessage({ subject: 'from elsewhere' });
    await other.append('INBOX', '', news);
    await other.ok('SELECT INBOX');
    await other.ok('UID STORE 3 +FLAGS.SILENT (\\Deleted)');
    await other.ok('UID EXPUNGE 3');
    await other.logout();

    const second = await openIndex(test, session, /from elsewhere/);
    await jumpTo(second, 4);
    second.type('\r');
    await second.shows(/Subject:\s+from elsewhere/);
    second.type('i');
    await second.shows(/MESSAGE INDEX/);
    await save(second, 4, 'Archive');
    await quit(second);
    const last = (await accountState(world.ports.imap, 'anna')).mailboxes;
    assert.deepEqual(
      last['INBOX']?.messages.map(({ uid, flags }) => `${uid} ${flags.join(' ')}`),
      ['1 \\Seen', '2 ', '5 \\Flagged', '6 \\Seen'],
    );
    assert.deepEqual(
      last['Archive']?.messages.map(({ body }) => body),
      [bodyOf(contents[0] ?? ''), bodyOf(news)],
    );
    assert.doesNotMatch(server.log(), /"level":"(error|fatal)"/);
  });
});
