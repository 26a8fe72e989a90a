// A client of a process that serves it from accept to the end of its session, at the moments when somebody else is being asked.
import assert from 'node:assert/strict';
import type { Duplex } from 'node:stream';
import { describe, it, type TestContext } from 'node:test';
import { type GoBack, serveDirectly } from '#pre-auth/direct.js';
import type { Role } from '#service-kit/role.js';
import { type LineClient, startLogin } from '../services/login/fixture.js';

/** Sessions that say hello and tell of each stop. */
interface World {
  readonly client: LineClient;
  readonly stop: (reason: 'shutdown' | 'kicked') => void;
  /** Resolves when anvil is asked how many sessions there are; it answers then. */
  readonly asked: Promise<() => void>;
  readonly goBack: () => void;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function serve(test: TestContext): Promise<World> {
  let onAsked: (answer: () => void) => void = () => undefined;
  const asked = new Promise<() => void>((resolve) => {
    onAsked = resolve;
  });
  let back: (() => void) | undefined;
  const role: Role = {
    name: 'imap',
    settings: [],
    start: async (context) => {
      const lookup = (): Promise<number> => new Promise((resolve) => onAsked(() => resolve(0)));
      const end = serveDirectly({
        protocol: 'imap',
        context: { ...context, anvil: { ...context.anvil, lookup } },
        claims: undefined,
        startSession: ({ stream }: { readonly stream: Duplex }, _user, goBack: GoBack) => {
          stream.write('hello\r\n');
          back = () => goBack(stream);
          return {
            isPreAuth: false,
            startedAtMs: 0,
            stop: (reason) => void stream.write(`stopped: ${reason}\r\n`),
          };
        },
      });
      return async () => end();
    },
  };
  const world = await startLogin(test, role);
  const client = await world.connect();
  test.after(() => client.socket.destroy());
  assert.match((await client.line()) ?? '', /^\* OK /);
  client.send('a LOGIN bob secret\r\n');
  return { client, stop: (reason) => world.handles[0]?.stop(reason), asked, goBack: () => back?.() };
}

describe('A client in direct mode', () => {
  it('that is just logging in when the process is to end is told so in its session', async (test) => {
    const { client, stop, asked } = await serve(test);
    const answer = await asked;
    stop('shutdown');
    answer();
    assert.equal(await client.line(), 'hello');
    assert.equal(await client.line(), 'stopped: shutdown');
  });

  it('that is just giving up its user when the process is to end hears goodbye', async (test) => {
    const { client, stop, asked, goBack } = await serve(test);
    (await asked)();
    assert.equal(await client.line(), 'hello');
    await turn();
    goBack();
    stop('shutdown');
    assert.equal(await client.line(), 'stopped: shutdown');
    assert.equal(await client.line(), '* BYE [UNAVAILABLE] Server shutting down.');
  });

  it('is told once in the middle of its session', async (test) => {
    const { client, stop, asked } = await serve(test);
    (await asked)();
    assert.equal(await client.line(), 'hello');
    stop('kicked');
    assert.equal(await client.line(), 'stopped: kicked');
  });
});
