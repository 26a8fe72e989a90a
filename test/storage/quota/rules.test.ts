import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { graceBytes, parseQuotaRule, parseThreshold, type QuotaRule, QuotaRuleSet } from '#storage/quota/rules.js';
import { readQuotaSettings } from '#storage/quota/settings.js';
import { findCrossed, parseQuotaWarning, type QuotaWarning } from '#storage/quota/warnings.js';

const none = Number.POSITIVE_INFINITY;
const rule = (text: string): QuotaRule => {
  const parsed = parseQuotaRule(text);
  assert.ok(typeof parsed !== 'string', String(parsed));
  return parsed;
};
const rules = (...texts: string[]): QuotaRuleSet => new QuotaRuleSet(texts.map(rule));

describe('quota rules', () => {
  for (const [texts, mailbox, storage, messages] of [
    [['*:storage=1G'], 'INBOX', 2 ** 30, none],
    [['*:storage=100'], 'INBOX', 102_400, none],
    [['*:bytes=100'], 'INBOX', 100, none],
    [['*:storage=10M:messages=5'], 'INBOX', 10 * 2 ** 20, 5],
    [['*:storage=0'], 'INBOX', none, none],
    [['?:storage=1M', '*:messages=3'], 'INBOX', 2 ** 20, 3],
    [['?:storage=1M', '*:storage=2M'], 'INBOX', 2 * 2 ** 20, none],
    [['*:bytes=1000', 'Trash:storage=+1k'], 'Trash', 2024, none],
    [['*:bytes=1000', 'Trash:bytes=+10%'], 'Trash', 1100, none],
    [['*:bytes=1000', 'Trash:bytes=10%'], 'Trash', 100, none],
    [['*:bytes=1000', 'Trash:bytes=-10%'], 'Trash', 900, none],
    [['*:bytes=1000', 'Trash:bytes=50'], 'Trash', 50, none],
    [['*:bytes=1000', 'Trash:bytes=50'], 'INBOX', 1000, none],
    [['*:bytes=1000', 'Archive/*:bytes=+1'], 'Archive/a/b', 1001, none],
    [['*:bytes=1000', 'inbox:bytes=+1'], 'INBOX', 1001, none],
    [['*:bytes=1000:messages=10', 'Trash:messages=+5'], 'Trash', 1000, 15],
    [[], 'INBOX', none, none],
  ] as const) {
    it(`${texts.join(', ') || '(none)'} give ${mailbox} ${storage} octets and ${messages} messages`, () => {
      assert.deepEqual(rules(...texts).limitsFor(mailbox, '/'), { storage, messages, mailboxes: none });
    });
  }

  it('can limit the number of mailboxes, of the account only', () => {
    assert.equal(rules('*:mailboxes=5', 'Trash:storage=+10%').limitsFor('Trash', '/').mailboxes, 5);
    assert.equal(typeof parseQuotaRule('Trash:mailboxes=5'), 'string');
  });

  it('have limits that were set in place of those for *', () => {
    const set = new QuotaRuleSet([rule('*:storage=1G:messages=5'), rule('Trash:bytes=+1')], {
      storage: 1000,
      messages: none,
      mailboxes: 2,
    });
    assert.deepEqual(set.default, { storage: 1000, messages: none, mailboxes: 2 });
    assert.equal(set.limitsFor('Trash', '/').storage, 1001);
  });

  it('can leave mailboxes out', () => {
    const set = rules('*:storage=1G', 'Spam:ignore', 'Lists/*:ignore');
    assert.deepEqual(
      ['Spam', 'Lists/a', 'INBOX', 'Lists'].map((name) => set.isIgnored(name, '/')),
      [true, true, false, false],
    );
  });

  for (const text of ['storage=1G', ':storage=1G', '*:storage=', '*:storage=1X', '*:size=1', '*:storage=-', '*:messages=many']) {
    it(`${text} is refused`, () => assert.equal(typeof parseQuotaRule(text), 'string'));
  }

  for (const [text, limit, expected] of [
    ['10%', 1000, 100],
    ['0', 1000, 0],
    ['50k', 1000, 51_200],
    ['nonsense', 1000, 0],
    ['10%', none, 0],
  ] as const) {
    it(`a grace of ${text} beyond ${limit} is ${expected}`, () => assert.equal(graceBytes(text, limit), expected));
  }
});

describe('quota warnings', () => {
  const warning = (text: string): QuotaWarning => {
    const parsed = parseQuotaWarning(text);
    assert.ok(typeof parsed !== 'string', String(parsed));
    return parsed;
  };
  const warnings = [
    warning('storage=95% warn 95 bob'),
    warning('storage=80% warn 80'),
    warning('-storage=100% warn below'),
    warning('messages=10 warn many'),
  ];
  const limits = { storage: 1000, messages: none };
  const usage = (bytes: number, messages = 0): { bytes: number; messages: number } => ({ bytes, messages });

  for (const [before, after, expected] of [
    [usage(0), usage(799), undefined],
    [usage(799), usage(800), '80'],
    [usage(800), usage(900), undefined],
    [usage(700), usage(960), '95'],
    [usage(1000), usage(999), 'below'],
    [usage(990), usage(999), undefined],
    [usage(0, 9), usage(0, 10), 'many'],
  ] as const) {
    it(`from ${before.bytes}/${before.messages} to ${after.bytes}/${after.messages}: ${expected}`, () => {
      assert.equal(findCrossed(warnings, limits, before, after)?.command[1], expected);
    });
  }

  it('need a threshold and a command', () => {
    for (const text of ['storage=95%', 'warn me', '', 'storage=+5M warn']) assert.equal(typeof parseQuotaWarning(text), 'string', text);
    assert.equal(parseThreshold('storage=80%')?.valueFor({ storage: none, messages: none }), none);
  });
});

describe('quota settings', () => {
  it('are numbered, per root, with the user’s before the shared ones', () => {
    const values: Readonly<Record<string, string>> = {
      quota: 'maildir:User quota',
      quota_rule: '*:bytes=5',
      quota_rule2: 'Spam:ignore',
      quota_warning2: 'storage=80% warn',
      quota2: 'count:Shared:ns=Public/:hidden:noenforcing',
      quota2_rule: '*:bytes=9',
      quota3: 'dict:Old:file:/x',
      quota_max_mail_size: '1M',
    };
    const settings = readQuotaSettings((key) => values[key]);
    assert.deepEqual(
      settings.roots.map(({ name, backend, namespacePrefix, isHidden, isEnforced, rules: own, warnings }) => [
        name,
        backend,
        namespacePrefix,
        isHidden,
        isEnforced,
        own.length,
        warnings.length,
      ]),
      [
        ['User quota', 'maildir', undefined, false, true, 2, 1],
        ['Shared', 'count', 'Public/', true, false, 1, 0],
      ],
    );
    assert.equal(settings.maxMailSize, 2 ** 20);
    assert.equal(settings.problems.length, 1);
  });

  it('are empty without a quota', () => {
    assert.deepEqual(readQuotaSettings(() => undefined).roots, []);
  });
});
