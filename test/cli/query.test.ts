import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type AdminQuery, namesMailbox, namesMessages, parseQuery, queryKeys } from '#cli/query.js';
import { QueryError } from '#cli/query-error.js';
import { parsePoint } from '#cli/query-values.js';
import type { SearchQuery } from '#storage/search.js';
import { star } from '#util/number-set.js';

const nowMs = Date.UTC(2026, 10, 22, 12);
const dayMs = 86_400_000;
const parse = (text: string): AdminQuery => parseQuery(text === '' ? [] : text.split(' '), nowMs);
const message = (query: SearchQuery): AdminQuery => ({ kind: 'message', query });
const all = message({ kind: 'all' });
const seen = message({ kind: 'flags', system: 1 });
const flagged = message({ kind: 'flags', system: 4 });
const not = (query: AdminQuery): AdminQuery => ({ kind: 'not', query });
const and = (...queries: AdminQuery[]): AdminQuery => ({ kind: 'and', queries });
const or = (...queries: AdminQuery[]): AdminQuery => ({ kind: 'or', queries });
const mailbox = (pattern: string): AdminQuery => ({ kind: 'mailbox', pattern });
const day = (year: number, month: number, date: number): number => Date.UTC(year, month - 1, date) / dayMs;

describe('search query', () => {
  const cases: readonly (readonly [string, AdminQuery])[] = [
    ['ALL', all],
    ['all', all],
    ['seen flagged', and(seen, flagged)],
    ['seen OR flagged', or(seen, flagged)],
    ['seen or flagged or all', or(seen, flagged, all)],
    ['( seen or flagged ) mailbox INBOX', and(or(seen, flagged), mailbox('INBOX'))],
    ['not seen', not(seen)],
    ['unseen', not(seen)],
    ['not not seen', not(not(seen))],
    ['not ( seen flagged )', not(and(seen, flagged))],
    ['new', and(message({ kind: 'flags', system: 32 }), not(seen))],
    ['old', not(message({ kind: 'flags', system: 32 }))],
    [
      '1:3,7',
      {
        kind: 'sequence',
        set: [
          [1, 3],
          [7, 7],
        ],
      },
    ],
    ['*', { kind: 'sequence', set: [[star, star]] }],
    ['uid 5:*', { kind: 'uid', set: [[5, star]] }],
    ['mailbox-guid ABC', { kind: 'mailbox-guid', guid: 'abc' }],
    ['guid x', { kind: 'guid', guid: 'x' }],
    ['subject hi', message({ kind: 'header', field: 'subject', text: 'hi' })],
    ['subject (', message({ kind: 'header', field: 'subject', text: '(' })],
    ['header X-Spam yes', message({ kind: 'header', field: 'x-spam', text: 'yes' })],
    ['keyword $Foo', message({ kind: 'keyword', keyword: '$Foo' })],
    ['unkeyword x', not(message({ kind: 'keyword', keyword: 'x' }))],
    ['body x', message({ kind: 'body', text: 'x' })],
    ['fuzzy text x', message({ kind: 'text', text: 'x' })],
    ['larger 50k', message({ kind: 'larger', octets: 51_200 })],
    ['smaller 1M', message({ kind: 'smaller', octets: 1_048_576 })],
    ['smaller 10', message({ kind: 'smaller', octets: 10 })],
    ['since 2020-01-31', message({ kind: 'internal-date', fromDay: day(2020, 1, 31), beforeDay: undefined })],
    ['before 1-Feb-2020', message({ kind: 'internal-date', fromDay: undefined, beforeDay: day(2020, 2, 1) })],
    ['on 13-apr-2007', message({ kind: 'internal-date', fromDay: day(2007, 4, 13), beforeDay: day(2007, 4, 14) })],
    ['sentsince 2020-01-31', message({ kind: 'sent-date', fromDay: day(2020, 1, 31), beforeDay: undefined })],
    ['savedbefore 2020-01-31', message({ kind: 'save-date', fromDay: undefined, beforeDay: day(2020, 1, 31) })],
    ['since 2d', message({ kind: 'internal-time', fromMs: nowMs - 2 * dayMs, beforeMs: undefined })],
    ['savedbefore 10mins', message({ kind: 'save-time', fromMs: undefined, beforeMs: nowMs - 600_000 })],
    ['sentsince 1w', message({ kind: 'sent-time', fromMs: nowMs - 7 * dayMs, beforeMs: undefined })],
    ['since 1176418800', message({ kind: 'internal-time', fromMs: 1_176_418_800_000, beforeMs: undefined })],
    ['older 60', message({ kind: 'older', seconds: 60 })],
    ['younger 5m', message({ kind: 'younger', seconds: 300 })],
    ['modseq 12', message({ kind: 'modseq', atLeast: 12 })],
  ];
  for (const [text, query] of cases) it(`reads ${text}`, () => assert.deepEqual(parse(text), query));

  it('takes an interval with a blank in one word', () => {
    assert.deepEqual(parseQuery(['since', '5 days'], nowMs), parse('since 5d'));
  });

  const mistakes: readonly (readonly [string, RegExp])[] = [
    ['', /^Missing argument$/],
    ['nokey', /^Unknown argument NOKEY$/],
    ['constructor', /^Unknown argument CONSTRUCTOR$/],
    ['seen flagged or all', /^Use parenthesis when mixing ANDs and ORs$/],
    ['seen or flagged all', /^Use parenthesis when mixing ANDs and ORs$/],
    ['seen or', /^Missing argument$/],
    ['subject', /^Missing argument$/],
    ['header x', /^Missing argument$/],
    ['not', /^Missing argument$/],
    ['( seen', /^Missing '\)'$/],
    ['( )', /^Unexpected '\)'$/],
    ['seen )', /^Unexpected '\)'$/],
    ['0', /^Invalid messageset/],
    ['uid x', /^Invalid UID messageset/],
    ['larger 5x', /^Invalid size: 5x$/],
    ['larger -1', /^Invalid size: -1$/],
    ['since 5y', /^Invalid search date parameter: 5y$/],
    ['since 2020-02-30', /^Invalid search date parameter/],
    ['since 30-Feb-2020', /^Invalid search date parameter/],
    ['since infinite', /^Invalid search date parameter/],
    ['older x', /^Invalid search interval parameter: x$/],
    ['modseq x', /^Invalid MODSEQ value: x$/],
    [`${'( '.repeat(102)}all`, /^More than 100 levels/],
    [`${'not '.repeat(102)}all`, /^More than 100 times NOT/],
  ];
  for (const [text, problem] of mistakes) {
    it(`refuses ${text.slice(0, 40) || 'nothing'}`, () => {
      assert.throws(
        () => parse(text),
        (error) => error instanceof QueryError && problem.test(error.message),
      );
    });
  }

  it('reads back what is written, whatever is nested in what', () => {
    const word = fc.constantFrom('hi', '(', ')', 'or', 'NOT', 'ä b', '');
    const leaf: fc.Arbitrary<readonly [AdminQuery, readonly string[]]> = fc.oneof(
      fc.constantFrom([all, ['all']] as const, [seen, ['SEEN']] as const, [flagged, ['flagged']] as const),
      word.map((text) => [message({ kind: 'header', field: 'subject', text }), ['subject', text]] as const),
      word.map((name) => [mailbox(name), ['MailBox', name]] as const),
      fc.integer({ min: 1, max: 4_294_967_295 }).map((uid) => [{ kind: 'uid', set: [[uid, uid]] }, ['uid', String(uid)]] as const),
    );
    const { query } = fc.letrec<{ query: readonly [AdminQuery, readonly string[]] }>((tie) => ({
      query: fc.oneof(
        { depthSize: 'small' },
        leaf,
        tie('query').map(([inner, words]) => [not(inner), ['not', '(', ...words, ')']] as const),
        fc.tuple(fc.constantFrom('and', 'or'), fc.array(tie('query'), { minLength: 2, maxLength: 4 })).map(([kind, parts]) => {
          const words = parts.flatMap(([, inner], at) => [...(at > 0 && kind === 'or' ? ['oR'] : []), '(', ...inner, ')']);
          const queries = parts.map(([part]) => part);
          return [kind === 'and' ? and(...queries) : or(...queries), words] as const;
        }),
      ),
    }));
    fc.assert(fc.property(query, ([expected, words]) => assert.deepEqual(parseQuery(words, nowMs), expected)));
  });

  it('refuses or reads any words, and nothing else happens', () => {
    const words = fc.array(fc.oneof(fc.constantFrom(...queryKeys, '(', ')', '1:*', '2d', '5k'), fc.string()), { maxLength: 12 });
    fc.assert(
      fc.property(words, (given) => {
        try {
          parseQuery(given, nowMs);
        } catch (error) {
          assert.ok(error instanceof QueryError, String(error));
        }
      }),
    );
  });

  const safety: readonly (readonly [string, boolean, boolean])[] = [
    ['all', false, true],
    ['mailbox a', true, false],
    ['mailbox a all', true, true],
    ['mailbox a or mailbox b', true, false],
    ['( mailbox a seen ) or ( mailbox b seen )', true, true],
    ['( mailbox a seen ) or seen', false, true],
    ['( mailbox a seen ) or mailbox b', true, false],
    ['mailbox a ( seen or flagged )', true, true],
    ['not mailbox a', false, false],
    ['not mailbox a seen', false, true],
    ['mailbox-guid x not seen', true, true],
  ];
  for (const [text, mailboxes, messages] of safety) {
    it(`${text} ${mailboxes ? 'names' : 'does not name'} a mailbox and ${messages ? 'says' : 'does not say'} which messages`, () => {
      assert.deepEqual([namesMailbox(parse(text)), namesMessages(parse(text))], [mailboxes, messages]);
    });
  }

  it('takes a day for its beginning where a point in time is wanted', () => {
    assert.equal(parsePoint('2020-01-31', nowMs), new Date(2020, 0, 31).getTime());
    assert.equal(parsePoint('1h', nowMs), nowMs - 3_600_000);
    assert.throws(() => parsePoint('x', nowMs), QueryError);
  });
});
