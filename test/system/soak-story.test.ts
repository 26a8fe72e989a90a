import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type FileEvent, SoakStories } from './soak-story.js';

describe('the story of a message in a soak', () => {
  const stories = new SoakStories();
  const nowMs = Date.now();
  const nowSeconds = Math.floor(nowMs / 1_000);
  stories.note('soak-1', 'pop3 plain lport=110 rport=4711: QUIT: +OK');
  const log = [
    `${nowSeconds} pop3-login: Info: Login: mpid=12, lpid=11, session=abc, lport=110, rport=4711`,
    `${nowSeconds} pop3-login: Info: Login: mpid=12, lpid=11, session=xyz, lport=110, rport=4712`,
    `${nowSeconds} pop3(anna)<12><abc>: Info: Disconnected: Logged out`,
    `${nowSeconds} pop3(anna)<12><xyz>: Info: Disconnected: Logged out`,
    `${nowSeconds} lmtp(anna)<13><uvw>: Info: msgid=: saved mail to INBOX`,
    `${nowSeconds} lmtp(berta)<13><uvv>: Info: msgid=: saved mail to INBOX`,
    `${nowSeconds} imap(anna)<14><rst>: Warning: index rebuilt`,
    `${nowSeconds} master: Warning: child 12 killed with signal 9`,
    `${nowSeconds - 60} pop3(anna)<12><abc>: Info: a minute ago`,
  ];
  const files: FileEvent[] = [{ atMs: nowMs + 1_000, folder: 'cur', fileName: '17.M1.vm:2,S', isThere: true }];
  const disturbances = [
    { atMs: nowMs + 500, text: 'kill of pop3 12' },
    { atMs: nowMs - 60_000, text: 'kill of pop3 9' },
  ];
  const lines = stories.tell('soak-1', { user: 'anna', files, disturbances, log: log.join('\n') }).split('\n');

  it('tells in order who did what, the names of its file, and what was killed at that time', () => {
    const told = lines.slice(0, lines.indexOf('  in the log:')).map((line) => line.replace(/^ +[\d.]+ /, ''));
    assert.deepEqual(told, [
      'the story of soak-1 of anna:',
      'pop3 plain lport=110 rport=4711: QUIT: +OK',
      'kill of pop3 12',
      'cur/17.M1.vm:2,S is there',
    ]);
  });

  it('has the lines of the log about its sessions, and about what went wrong for the user', () => {
    const logged = lines.slice(lines.indexOf('  in the log:') + 1).map((line) => line.slice(2));
    assert.deepEqual(
      logged,
      [0, 2, 4, 6, 7].map((index) => log[index]),
    );
  });
});
