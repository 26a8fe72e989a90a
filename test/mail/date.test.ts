import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dayOf, formatInternalDate, parseImapDay, parseInternalDate, parseMessageDate } from '#mail/date.js';

describe('the date of a message', () => {
  const cases: readonly (readonly [text: string, expected: string | undefined, zone?: number])[] = [
    ['Fri, 21 Nov 1997 09:55:06 -0600', '1997-11-21T15:55:06.000Z', -360],
    ['21 Nov 97 09:55:06 GMT', '1997-11-21T09:55:06.000Z'],
    ['21 Nov 05 09:55 EST', '2005-11-21T14:55:00.000Z', -300],
    ['Thu,\r\n 13\r\n Feb\r\n 1969 23:32 -0330 (Newfoundland Time)', '1969-02-14T03:02:00.000Z', -210],
    ['Fri, 21 Nov 1997 09(comment):   55  :  06 -0600', '1997-11-21T00:00:00.000Z'],
    ['1 Jan 100 00:00:00 +0000', '2000-01-01T00:00:00.000Z'],
    ['Mon, 1 April 2024 10:00:00 +02:00', '2024-04-01T08:00:00.000Z', 120],
    ['Mon, 01-Apr-2024 10:00:00 GMT+0200', '2024-04-01T08:00:00.000Z', 120],
    ['Fri Nov 21 09:55:06 1997', '1997-11-21T09:55:06.000Z'],
    ['Fri Nov 21 09:55:06 PST 1997', '1997-11-21T17:55:06.000Z', -480],
    ['2024-04-01T10:00:00Z', '2024-04-01T10:00:00.000Z'],
    ['2024-04-01 10:00:00 +0530', '2024-04-01T04:30:00.000Z', 330],
    ['21 Nov 1997', '1997-11-21T00:00:00.000Z'],
    ['21 Nov 1997 9:55 PM', '1997-11-21T21:55:00.000Z'],
    ['29 Feb 2024 00:00:00 +0000', '2024-02-29T00:00:00.000Z'],
    ['31 Dec 1998 23:59:60 +0000', '1999-01-01T00:00:00.000Z'],
    ['29 Feb 2023 00:00:00 +0000', undefined],
    ['32 Jan 2024 00:00:00 +0000', undefined],
    ['1 Foo 2024 00:00:00 +0000', undefined],
    ['1 Jan 2024 25:00:00 +0000', undefined],
    ['yesterday', undefined],
    ['', undefined],
  ];
  for (const [text, expected, zone = 0] of cases) {
    it(`${JSON.stringify(text)} is ${expected}`, () => {
      const date = parseMessageDate(text);
      assert.equal(date === undefined ? undefined : new Date(date.ms).toISOString(), expected);
      if (date !== undefined) assert.equal(date.zoneMinutes, zone);
    });
  }
  it('has the day that is written in it', () => {
    const day = (text: string): number => dayOf(parseMessageDate(text) ?? { ms: Number.NaN, zoneMinutes: 0 });
    assert.equal(day('21 Nov 1997 23:59:59 -1200'), Date.UTC(1997, 10, 21) / 86_400_000);
    assert.equal(day('21 Nov 1997 00:00:00 +1400'), Date.UTC(1997, 10, 21) / 86_400_000);
  });
});

describe('IMAP date-time', () => {
  it('is written with a padded day and the zone', () => {
    assert.equal(formatInternalDate(Date.UTC(1996, 6, 7, 9, 44, 25), -420), ' 7-Jul-1996 02:44:25 -0700');
    assert.equal(formatInternalDate(0), ' 1-Jan-1970 00:00:00 +0000');
    assert.equal(formatInternalDate(Date.UTC(2024, 1, 29), 330), '29-Feb-2024 05:30:00 +0530');
  });
  for (const text of ['17-Jul-1996 02:44:25 -0700', ' 1-Feb-2024 23:59:59 +1245', '31-Dec-9999 23:59:59 +0000']) {
    it(`${text} is read and written back`, () => {
      const date = parseInternalDate(text);
      assert.ok(date);
      assert.equal(formatInternalDate(date.ms, date.zoneMinutes), text);
    });
  }
  for (const text of [
    '1-Feb-2024 00:00:00 +0000',
    '32-Jan-2024 00:00:00 +0000',
    '17-Jul-1996 02:44:25',
    '17-Jul-1996 02:44:25 -0760',
    '',
  ]) {
    it(`${JSON.stringify(text)} is refused`, () => assert.equal(parseInternalDate(text), undefined));
  }
  it('has a day form for SEARCH', () => {
    assert.equal(parseImapDay('1-Feb-1994'), Date.UTC(1994, 1, 1) / 86_400_000);
    assert.equal(parseImapDay('01-FEB-1994'), Date.UTC(1994, 1, 1) / 86_400_000);
    assert.equal(parseImapDay('30-Feb-1994'), undefined);
  });
});
