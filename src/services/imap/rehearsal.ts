// What most clients do in their first session.
import type { Rehearsal } from '#service-kit/role.js';
import { imapPractice } from './practice.js';

const message =
  'From: a@example.com\r\nTo: b@example.com\r\nSubject: rehearsal\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nText.\r\n';

export const imapRehearsal: Rehearsal = {
  from: 'handoff',
  service: 'imap',
  greeting: /^a OK/m,
  lines: [
    { send: 'b CAPABILITY', until: /^b OK/m },
    { send: 'c ID ("name" "rehearsal")', until: /^c OK/m },
    { send: 'd NAMESPACE', until: /^d OK/m },
    { send: 'e LIST "" "*"', until: /^e OK/m },
    { send: `f APPEND INBOX (\\Seen) {${message.length}}`, until: /^\+/m },
    { send: message, until: /^f OK/m },
    { send: 'g STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)', until: /^g OK/m },
    { send: 'h SELECT INBOX', until: /^h OK/m },
    { send: 'i UID FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE)', until: /^i OK/m },
    { send: 'j UID FETCH 1 BODY.PEEK[HEADER.FIELDS (From To Subject)]', until: /^j OK/m },
    { send: 'k UID FETCH 1 BODY[]', until: /^k OK/m },
    { send: 'l UID STORE 1 +FLAGS (\\Answered)', until: /^l OK/m },
    { send: 'm UID SEARCH UNSEEN', until: /^m OK/m },
    { send: 'n NOOP', until: /^n OK/m },
    { send: 'o IDLE', until: /^\+/m },
    { send: 'DONE', until: /^o OK/m },
    { send: 'p CLOSE', until: /^p OK/m },
    { send: 'q LOGOUT', until: /^q OK/m },
  ],
  settings: (folder) => ({ mail_location: `maildir:${folder}/Maildir`, mail_fsync: 'never' }),
  practice: imapPractice,
};
