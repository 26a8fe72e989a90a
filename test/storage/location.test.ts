import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StorageError } from '#storage/errors.js';
import { parseLocation } from '#storage/location.js';

const home = '/home/bob';

describe('mail_location', () => {
  for (const [text, expected] of [
    ['maildir:~/Maildir', { root: '/home/bob/Maildir', inbox: '/home/bob/Maildir' }],
    ['', { root: '/home/bob/Maildir' }],
    ['maildir:', { root: '/home/bob/Maildir' }],
    ['~/Mail', { root: '/home/bob/Mail' }],
    ['/var/mail/bob', { root: '/var/mail/bob' }],
    ['maildir:/m/bob:INBOX=/spool/bob', { root: '/m/bob', inbox: '/spool/bob' }],
    ['maildir:/m/a::b:INDEX=/i/a::b', { root: '/m/a:b', index: '/i/a:b' }],
    ['maildir:/m:INDEX=MEMORY', { index: 'memory' }],
    ['maildir:/m:CONTROL=~/control:INDEX=/i', { control: '/home/bob/control', index: '/i' }],
    ['maildir:/m:UTF-8', { isUtf8: true }],
    ['maildir:/m:layout=fs:DIRNAME=mAiL', { mailFolderName: 'mAiL', inbox: '/m/INBOX/mAiL' }],
    ['maildir:/m:LAYOUT=fs:MAILBOXDIR=boxes/', { mailboxesFolder: 'boxes', inbox: '/m' }],
    ['maildir:/m/../m2/./x', { root: '/m2/x' }],
  ] as const) {
    it(`${text === '' ? '(empty)' : text} is read`, () => {
      const { folders } = parseLocation(text, home);
      for (const [key, value] of Object.entries(expected)) assert.equal(folders[key as keyof typeof folders], value, key);
    });
  }

  it('says what has no effect', () => {
    assert.deepEqual(parseLocation('maildir:/m:ALT=/alt:VOLATILEDIR=/v:NO-NOSELECT', home).ignored, ['ALT', 'VOLATILEDIR', 'NO-NOSELECT']);
  });

  it('names the subscriptions file', () => {
    assert.equal(parseLocation('maildir:/m:SUBSCRIPTIONS=subs', home).subscriptions, 'subs');
    assert.equal(parseLocation('maildir:/m', home).subscriptions, 'subscriptions');
  });

  for (const text of [
    'mbox:~/mail:INBOX=/var/mail/bob',
    'mdbox:~/mdbox',
    'maildir:relative/path',
    'maildir:/m:LAYOUT=index',
    'maildir:/m:INBOXX=/x',
    'maildir:/m:INDEX=relative',
    'maildir:/m:LAYOUT=fs:DIRNAME=a/b',
    'maildir:/m:SUBSCRIPTIONS=../../etc/passwd',
  ]) {
    it(`${text} is refused`, () => {
      assert.throws(
        () => parseLocation(text, home),
        (error) => error instanceof StorageError && error.code === 'unavailable',
      );
    });
  }

  it('needs a home for ~', () => {
    assert.throws(() => parseLocation('maildir:~/Maildir', undefined), StorageError);
    assert.equal(parseLocation('maildir:/m', undefined).folders.root, '/m');
  });
});
