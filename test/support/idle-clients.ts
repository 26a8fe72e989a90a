// IMAP clients of a running server that idle, for the tests of what becomes of idling sessions.
import assert from 'node:assert/strict';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { LineClient } from './line-client.js';
import type { RunningRoost } from './running-roost.js';

export interface LoginOptions {
  readonly isTls?: boolean;
  readonly user?: string;
  /** 0: the usual one. */
  readonly port?: number;
}

export class IdleClients {
  readonly #maxWaitMs: number | undefined;
  #clients: LineClient[] = [];

  /** @param maxWaitMs for a line; undefined: LineClient's own */
  constructor(maxWaitMs?: number) {
    this.#maxWaitMs = maxWaitMs;
  }

  async logIn(roost: RunningRoost, { isTls = false, user = 'alice', port = 0 }: LoginOptions = {}): Promise<LineClient> {
    const client = new LineClient(
      isTls
        ? connectTls({ port: port || roost.ports.imaps, host: '127.0.0.1', rejectUnauthorized: false })
        : connectTcp(port || roost.ports.imap, '127.0.0.1'),
      this.#maxWaitMs,
    );
    this.#clients.push(client);
    await client.line();
    await client.ok(`LOGIN ${user} secret`);
    return client;
  }

  closeAll(): void {
    for (const client of this.#clients) client.close();
    this.#clients = [];
  }
}

/** The next line that is no RECENT and, unless they are wanted, no keep-alive. */
export async function news(client: LineClient, withKeepAlives = false): Promise<string | undefined> {
  for (;;) {
    const line = await client.line();
    if ((withKeepAlives || line !== '* OK Still here') && !/^\* \d+ RECENT$/.test(line ?? '')) return line;
  }
}

/** @returns its tag */
export async function idle(client: LineClient): Promise<string> {
  const tag = client.send('IDLE');
  assert.equal(await client.line(), '+ idling');
  return tag;
}

export async function append(client: LineClient, { mailbox = 'INBOX', flags = '' } = {}): Promise<void> {
  client.raw(`x APPEND ${mailbox} ${flags}{15+}\r\nSubject: a\r\n\r\nb\r\n`);
  for (let line = await client.line(); !line?.startsWith('x '); line = await client.line()) assert.notEqual(line, undefined);
}
