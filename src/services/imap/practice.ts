// What clients do in their sessions, over and over (service-kit/practice.ts): the commands of common mail programs on mailboxes that are new to the
// server, that it has an index of, and that are open elsewhere. Commands and messages are of the common kinds only: what V8 sees here, it compiles for.
import type { Practice, RehearsalLine } from '#service-kit/role.js';
import { largeAlias, largeName, mailboxName, messagesOfMailbox, practiceMail, writePracticeMail } from './practice-mail.js';

const everything = '(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)';
/** Each on a mailbox that nothing is known of yet. */
const longSessions = 8;
/** After so many of them comes the one with a large mailbox, the rest repair what V8 has thrown away for it. */
const longBeforeLarge = 6;
const shortSessions = 60;
const searchFirstEvery = 3;
/** V8 compiles what looks at flags after some of them, and would otherwise while a client waits. */
const searchesOfLarge = 6;
/** Of many messages, of most of them, and of one. */
const largeSearches = ['SEARCH FLAGGED UNSEEN', 'UID SEARCH UNSEEN', 'UID SEARCH SEEN', 'UID SEARCH DRAFT'];
const headerFields =
  'BODY.PEEK[HEADER.FIELDS (FROM TO CC SUBJECT DATE MESSAGE-ID PRIORITY X-PRIORITY REFERENCES NEWSGROUPS IN-REPLY-TO CONTENT-TYPE)]';

export const imapPractice: Practice = {
  sessions: longSessions + 1 + shortSessions,
  prepare: (folder, signal) => writePracticeMail(`${folder}/Maildir`, longSessions, signal),
  session: (index) => tagged(linesOf(index)),
};

function linesOf(index: number): Line[] {
  if (index < longBeforeLarge) return longSession(index);
  if (index === longBeforeLarge) return largeSession();
  if (index <= longSessions) return longSession(index - 1);
  return shortSession(index);
}

/** Commands that take a large mailbox in several slices. */
function largeSession(): Line[] {
  return [
    `SELECT ${largeName}`,
    'UID FETCH 1:* (FLAGS)',
    `FETCH 1:* ${everything}`,
    'SEARCH SUBJECT "number 7"',
    `FETCH 1:* ${everything}`,
    'SEARCH SUBJECT "number 7"',
    'UID SEARCH FROM "sender 3"',
    'UID FETCH 1:* (FLAGS)',
    'SEARCH FLAGGED UNSEEN',
    'UID SEARCH FLAGGED UNSEEN',
    'UID SEARCH UNSEEN',
    'UID SEARCH ALL',
    'UID SEARCH RETURN (ALL) UNSEEN',
    `UID FETCH 1:1000 (UID RFC822.SIZE FLAGS ${headerFields})`,
    'SEARCH 1:1000 TEXT "nowhere to be found"',
    'STORE 1:1000 +FLAGS.SILENT (\\Answered)',
    'CLOSE',
    // The same under another name is a mailbox that has an index, but is not in memory.
    `SELECT ${largeAlias}`,
    `FETCH 1:* ${everything}`,
    'SEARCH SUBJECT "number 7"',
    'UID FETCH 1:* (FLAGS)',
    'STORE 7 +FLAGS.SILENT (\\Draft)',
    ...Array.from({ length: searchesOfLarge }, () => largeSearches).flat(),
    'LOGOUT',
  ];
}

/** Of a client that reads a mailbox for the first time, searches, and tidies up. */
function longSession(index: number): Line[] {
  const name = mailboxName(index);
  const half = messagesOfMailbox / 2;
  return [
    'CAPABILITY',
    'LIST "" "*"',
    'LSUB "" "*"',
    `STATUS ${name} (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)`,
    `SELECT ${name}`,
    'UID FETCH 1:* (FLAGS)',
    // Before anything is known of the messages.
    ...(index % searchFirstEvery === 1 ? ['SEARCH SUBJECT "number 7"'] : []),
    `FETCH 1:* ${everything}`,
    'SEARCH SUBJECT "number 7"',
    `FETCH 1:* ${everything}`,
    'SEARCH SUBJECT "number 7"',
    'UID SEARCH FROM "sender 3"',
    `UID FETCH 1:* (UID RFC822.SIZE FLAGS ${headerFields})`,
    'UID FETCH 1:* (UID FLAGS RFC822.SIZE)',
    'SEARCH FLAGGED UNSEEN',
    'UID SEARCH UNSEEN',
    'UID SEARCH UID 1:* NOT DELETED',
    'UID SEARCH FLAGGED UNSEEN',
    'UID SEARCH RETURN (ALL) UNSEEN',
    'UID SEARCH UNSEEN UNDELETED SINCE 1-Jan-2020',
    'SEARCH TEXT "nowhere to be found"',
    'UID SEARCH SINCE 1-Jan-2020',
    ...Array.from({ length: 8 }, (_, message) => `UID FETCH ${message + 1} (UID RFC822.SIZE BODY.PEEK[])`),
    'FETCH 1:8 (BODY.PEEK[1])',
    'STORE 1:* +FLAGS.SILENT (\\Answered)',
    `STORE 1:${half} +FLAGS (\\Flagged)`,
    `COPY 1:${half} Copies`,
    `UID MOVE ${half + 1}:* Moved`,
    `STORE 1:${half} +FLAGS.SILENT (\\Deleted)`,
    'EXPUNGE',
    'CLOSE',
    'SELECT INBOX',
    'FETCH 1:* (FLAGS)',
    'NOOP',
    ['IDLE', /^\+/m],
    'DONE',
    'LOGOUT',
  ];
}

/** Of a client that looks what is new. */
function shortSession(index: number): Line[] {
  const name = mailboxName(index % longSessions);
  const message = practiceMail(index);
  const number = (index % 8) + 1;
  return [
    'LIST "" "*"',
    'STATUS INBOX (MESSAGES UNSEEN UIDNEXT)',
    'SELECT INBOX',
    'UID FETCH 1:* (FLAGS)',
    `FETCH ${number}:${number + 5} (UID FLAGS ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)`,
    `FETCH ${number} BODY.PEEK[]`,
    `STORE ${number} ${index % 2 === 0 ? '+' : '-'}FLAGS (\\Flagged)`,
    'NOOP',
    ...(index % 5 === 0
      ? [
          [`APPEND INBOX (\\Seen) {${message.length}}`, /^\+/m] as const,
          message,
          'STORE * +FLAGS.SILENT (\\Deleted)',
          'EXPUNGE',
          `STATUS ${name} (MESSAGES UNSEEN)`,
        ]
      : []),
    'LOGOUT',
  ];
}

/** A command, or what continues the one before it; and what is waited for, if that is not the end of the command. */
type Line = string | readonly [send: string, until: RegExp];

function tagged(lines: readonly Line[]): RehearsalLine[] {
  let isContinued = false;
  return lines.map((line, index) => {
    const [text, until] = typeof line === 'string' ? [line, undefined] : line;
    const send = isContinued ? text : `b${index} ${text}`;
    const tag = isContinued ? index - 1 : index;
    isContinued = until !== undefined;
    return { send, until: until ?? new RegExp(`^b${tag} OK`, 'm') };
  });
}
