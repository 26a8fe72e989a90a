import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Session, Sessions, splitIdent } from '#services/anvil/sessions.js';

const session = (ident: string, sessionId: string, pid = 1): Session => ({ ident, pid, sessionId, sinceMs: 0 });

describe('anvil sessions', () => {
  it('are counted per service, address and user', () => {
    const sessions = new Sessions<object>();
    const owner = {};
    sessions.connect(owner, session('imap/192.0.2.1/anna', 'a'));
    sessions.connect(owner, session('imap/192.0.2.1/anna', 'b'));
    sessions.connect(owner, session('pop3/192.0.2.1/anna', 'c'));
    assert.equal(sessions.count('imap/192.0.2.1/anna'), 2);
    assert.equal(sessions.count('pop3/192.0.2.1/anna'), 1);
    assert.equal(sessions.count('imap/192.0.2.2/anna'), 0);
  });

  it('announced twice are counted once, without an id each time', () => {
    const sessions = new Sessions<object>();
    const owner = {};
    for (let n = 0; n < 2; n += 1) sessions.connect(owner, session('imap/192.0.2.1/anna', 'a'));
    for (let n = 0; n < 2; n += 1) sessions.connect(owner, session('imap/192.0.2.1/bob', ''));
    assert.equal(sessions.count('imap/192.0.2.1/anna'), 1);
    assert.equal(sessions.count('imap/192.0.2.1/bob'), 2);
  });

  it('go with the connection that announced them, or with their process', () => {
    const sessions = new Sessions<object>();
    const [one, two] = [{}, {}];
    sessions.connect(one, session('imap/192.0.2.1/anna', 'a', 1));
    sessions.connect(two, session('imap/192.0.2.1/anna', 'b', 2));
    sessions.connect(two, session('imap/192.0.2.1/anna', 'c', 3));
    sessions.forget(one);
    assert.equal(sessions.count('imap/192.0.2.1/anna'), 2);
    sessions.kill(3);
    assert.deepEqual(
      sessions.list().map(({ sessionId }) => sessionId),
      ['b'],
    );
  });

  it('never count below zero or above what is connected', () => {
    const ident = fc.constantFrom('imap/192.0.2.1/anna', 'imap/192.0.2.1/bob');
    const step = fc.record({ isConnect: fc.boolean(), owner: fc.nat(2), ident, sessionId: fc.constantFrom('a', 'b', 'c') });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const sessions = new Sessions<object>();
        const owners = [{}, {}, {}];
        const model = new Set<string>();
        for (const { isConnect, owner, ident: name, sessionId } of steps) {
          const key = `${owner} ${name} ${sessionId}`;
          const holder = owners[owner] ?? {};
          if (isConnect) sessions.connect(holder, session(name, sessionId));
          else sessions.disconnect(holder, session(name, sessionId));
          if (isConnect) model.add(key);
          else model.delete(key);
          const expected = [...model].filter((text) => text.includes(` ${name} `)).length;
          assert.equal(sessions.count(name), expected);
        }
        assert.equal(sessions.list().length, model.size);
      }),
    );
  });

  for (const [ident, parts] of [
    ['imap/192.0.2.1/anna', { service: 'imap', remoteIp: '192.0.2.1', user: 'anna' }],
    ['imap/2001:db8::1/a/b@example.org', { service: 'imap', remoteIp: '2001:db8::1', user: 'a/b@example.org' }],
    ['odd', { service: '', remoteIp: '', user: 'odd' }],
  ] as const) {
    it(`reads ${ident}`, () => assert.deepEqual(splitIdent(ident), parts));
  }

  it('are chosen for a kick by user mask, address and id', () => {
    const sessions = new Sessions<object>();
    const [one, two] = [{}, {}];
    sessions.connect(one, session('imap/192.0.2.1/anna@example.org', 'a'));
    sessions.connect(one, session('imap/192.0.2.2/bob@example.org', 'b'));
    sessions.connect(two, session('pop3/192.0.2.1/anna@example.com', 'c'));
    sessions.connect(two, session('imap/192.0.2.1/anna@example.org', ''));
    const chosen = (filter: Partial<Parameters<typeof sessions.match>[0]>): string[] =>
      [...sessions.match({ userMask: undefined, includesIp: undefined, sessionIds: undefined, ...filter }).values()]
        .flat()
        .map(({ sessionId }) => sessionId);
    assert.deepEqual(chosen({ userMask: 'anna@*' }), ['a', 'c']);
    assert.deepEqual(chosen({ userMask: '*@example.org' }), ['a', 'b']);
    assert.deepEqual(chosen({ userMask: 'anna.example.org' }), []);
    assert.deepEqual(chosen({ userMask: '*', includesIp: (ip) => ip === '192.0.2.2' }), ['b']);
    assert.deepEqual(chosen({ sessionIds: new Set(['c', 'x']) }), ['c']);
  });
});
