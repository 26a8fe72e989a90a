import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  messageIds,
  referencesOf,
  type ThreadMessage,
  threadByOrderedSubject,
  threadByReferences,
  threadByRefs,
  threadText,
} from '#mail/thread.js';
import { cpuMs } from '../support/cpu-time.js';

/** Messages `id: references [| subject]`, ids m1, m2 ...; sent in order unless `@time` says otherwise. */
function mailbox(...lines: readonly string[]): ThreadMessage[] {
  return lines.map((line, index) => {
    const match = /^(\S+):\s*([^|@]*)(?:\|([^@]*))?(?:@(\d+))?$/.exec(line);
    assert.ok(match, line);
    const [, id, references = '', subject = '', time] = match;
    const reply = /^Re:/.test(subject.trim());
    return {
      id: index + 1,
      messageId: id === '-' ? undefined : id,
      references: references.split(/\s+/).filter((reference) => reference !== ''),
      subjectKey: subject.trim().replace(/^Re:\s*/, ''),
      isReplyOrForward: reply,
      sentMs: time === undefined ? index : Number(time),
    };
  });
}

const references = (...lines: readonly string[]): string => threadText(threadByReferences(mailbox(...lines)));
const refs = (...lines: readonly string[]): string => threadText(threadByRefs(mailbox(...lines)));
const ordered = (...lines: readonly string[]): string => threadText(threadByOrderedSubject(mailbox(...lines)));

describe('THREAD=REFERENCES', () => {
  it('links answers to what they answer', () => assert.equal(references('a:', 'b: a', 'c: a b', 'd: a'), '(1 (2 3)(4))'));
  it('does not need the order of the mailbox', () => assert.equal(references('c: a b @3', 'b: a @2', 'a: @1'), '(3 2 1)'));
  it('keeps siblings together whose parent is missing', () => assert.equal(references('b: a', 'c: a'), '((1)(2))'));
  it('drops missing ancestors of a single message', () => assert.equal(references('c: a b'), '(1)'));
  it('drops missing ancestors in the middle', () => assert.equal(references('a:', 'c: a b', 'd: a b'), '(1 (2)(3))'));
  it('does not follow loops', () => assert.equal(references('a: b', 'b: a'), '(2 1)'));
  it('ignores a message that refers to itself', () => assert.equal(references('a: a'), '(1)'));
  it('threads messages with one id or none apart', () => assert.equal(references('a:', 'a:', '-:', 'b: a'), '(1 4)(2)(3)'));
  it("lets a message's own references decide", () => assert.equal(references('c: a b', 'a:', 'x:', 'b: x'), '(2)(3 4 1)'));
  it('sorts threads and siblings by sent date', () => assert.equal(references('a: @9', 'b: a @8', 'c: a @7', 'd: @1'), '(4)(1 (3)(2))'));
  it('joins an answer without references to its subject', () => assert.equal(references('a: | s', 'b: | Re: s'), '(1 2)'));
  it('joins two originals of a subject under nobody', () => assert.equal(references('a: | s', 'b: | s'), '((1)(2))'));
  it('joins three under one nobody', () => assert.equal(references('a: | s', 'b: | s', 'c: | s'), '((1)(2)(3))'));
  it('makes the original the head, though it came later', () => assert.equal(references('b: | Re: s', 'a: | s'), '(2 1)'));
  it('joins threads without head', () => assert.equal(references('a: x | s', 'b: x | s', 'c: y | s', 'd: y | s'), '((1)(2)(3)(4))'));
  it('does not join empty subjects', () => assert.equal(references('a:', 'b:'), '(1)(2)'));
});

describe('THREAD=REFS', () => {
  it('does not join by subject', () => assert.equal(refs('a: | s', 'b: | Re: s'), '(1)(2)'));
  it('puts the thread with the newest message last', () => assert.equal(refs('a:', 'b:', 'c: a'), '(2)(1 3)'));
});

describe('THREAD=ORDEREDSUBJECT', () => {
  it('groups by subject, each group in the order sent', () =>
    assert.equal(ordered('a: | s @3', 'b: | t @2', 'c: | Re: s @1', 'd: | s @4'), '(3 (1)(4))(2)'));
  it('shows a pair as parent and child', () => assert.equal(ordered('a: | s', 'b: | s'), '(1 2)'));
});

describe('threads of 100,000 messages', () => {
  const count = 100_000;
  const make = (referencesAt: (index: number) => readonly string[]): ThreadMessage[] =>
    Array.from({ length: count }, (_, index) => ({
      id: index + 1,
      messageId: `m${index}`,
      references: referencesAt(index),
      subjectKey: 's',
      isReplyOrForward: index > 0,
      sentMs: index,
    }));
  const shapes: readonly (readonly [title: string, messages: () => ThreadMessage[]])[] = [
    ['in one chain', () => make((index) => (index === 0 ? [] : [`m${index - 1}`]))],
    ['in one chain backwards', () => make((index) => (index === count - 1 ? [] : [`m${index + 1}`]))],
    ['under one parent', () => make((index) => (index === 0 ? [] : ['m0']))],
    ['of one subject', () => make(() => [])],
    ['with ten references', () => make((index) => Array.from({ length: Math.min(index, 10) }, (_, back) => `m${index - 10 + back}`))],
  ];
  for (const [title, create] of shapes) {
    it(`${title} take linear time, and all are shown`, () => {
      const messages = create();
      const startedAt = cpuMs();
      for (const thread of [threadByReferences, threadByRefs, threadByOrderedSubject]) {
        assert.equal(threadText(thread(messages)).match(/\d+/g)?.length, count);
      }
      assert.ok(cpuMs() - startedAt < 6000);
    });
  }
});

describe('message ids', () => {
  const cases: readonly (readonly [field: string, expected: readonly string[]])[] = [
    ['<a@b> <c@d>', ['a@b', 'c@d']],
    ['<a@b><c@d>', ['a@b', 'c@d']],
    ['text <"a"@b> (comment)', ['a@b']],
    ['<broken <a@b>', ['a@b']],
    ['<a\r\n @b>', ['a@b']],
    ['<no-at>', []],
    ['a@b', []],
    ['<open@x', []],
  ];
  for (const [field, expected] of cases)
    it(`of ${JSON.stringify(field)} are ${expected.join(', ')}`, () => assert.deepEqual(messageIds(field), expected));
  it('of In-Reply-To count when References has none, and only the first', () => {
    assert.deepEqual(referencesOf('<a@b> <c@d>', '<e@f>'), ['a@b', 'c@d']);
    assert.deepEqual(referencesOf('junk', '<e@f> <g@h>'), ['e@f']);
    assert.deepEqual(referencesOf(undefined, undefined), []);
  });
});
