// Starting states of transcripts, made over the protocol itself so that every server can be brought into them.
import assert from 'node:assert/strict';
import { decodeEscapes } from './escapes.js';
import type { LineClient } from './line-client.js';
import type { TranscriptRun } from './transcript.js';

/** The n-th message of `holds n messages`. */
export function presetMessage(number: number): string {
  return [
    `From: Sender ${number} <sender${number}@example.test>`,
    'To: anna@example.test',
    `Subject: message ${number}`,
    `Date: ${String(number).padStart(2, '0')} Jan 2026 12:00:00 +0000`,
    `Message-ID: <m${number}@example.test>`,
    '',
    `body ${number}`,
    '',
  ].join('\r\n');
}

async function append(client: LineClient, mailbox: string, flags: string, binary: string): Promise<void> {
  await client.ok(`APPEND ${mailbox} ${flags} {${binary.length}+}\r\n${binary}`);
}

async function uidsOneByOne(client: LineClient, count: number): Promise<string[]> {
  const uids: string[] = [];
  for (let number = 1; number <= count; number++) {
    const text = (await client.ok(`FETCH ${number} (UID)`)).join(' ');
    uids.push(/\(UID (\d+)\)/.exec(text)?.[1] ?? '');
  }
  return uids;
}

/** Empties the account of a server that outlives the transcript. */
export async function wipe(client: LineClient): Promise<void> {
  for (const line of await client.ok('LIST "" "*"')) {
    const name = /^\* LIST \([^)]*\) \S+ (.*)$/.exec(line)?.[1];
    if (name !== undefined && !/^"?INBOX"?$/i.test(name)) await client.run(`DELETE ${name}`);
  }
  for (const line of await client.ok('LSUB "" "*"')) {
    const name = /^\* LSUB \([^)]*\) \S+ (.*)$/.exec(line)?.[1];
    if (name !== undefined) await client.run(`UNSUBSCRIBE ${name}`);
  }
  await client.ok('SELECT INBOX');
  await client.run('STORE 1:* +FLAGS.SILENT (\\Deleted)');
  await client.ok('CLOSE');
}

/**
 * Clauses: `INBOX holds 3 messages`, `Work holds 1 message`, `mailbox Work exists`, `Work is subscribed`, `message 2 is <<octets>>`,
 * `message 2 has (\Seen work)`, `one and two have it selected`, `one has it examined`, `one has enabled QRESYNC`, `messages are recent`.
 * `message n` counts in the mailbox named last; its UIDs become $uid1, $uid2, ...
 */
export async function establish(run: TranscriptRun, given: readonly string[]): Promise<void> {
  const setup = await run.client('setup');
  let mailbox = 'INBOX';
  let count = 0;
  const flags = new Map<number, string>();
  const contents = new Map<number, string>();
  const isRecent = given.includes('messages are recent');
  const flush = async (): Promise<void> => {
    for (let number = 1; number <= count; number++) {
      await append(setup, mailbox, flags.get(number) ?? '()', contents.get(number) ?? presetMessage(number));
    }
    if (count > 0) {
      // Also takes \Recent off, unless the transcript is about it.
      await setup.ok(`${isRecent ? 'EXAMINE' : 'SELECT'} ${mailbox}`);
      const [found = ''] = (await setup.ok('UID SEARCH ALL')).filter((line) => line.startsWith('* SEARCH'));
      let uids = found.split(' ').slice(2);
      // A server with a limit of messages leaves some out.
      if (uids.length < count) uids = await uidsOneByOne(setup, count);
      uids.forEach((uid, index) => {
        run.variables.set(`uid${index + 1}`, uid);
      });
      await setup.ok('UNSELECT');
    }
    count = 0;
    flags.clear();
    contents.clear();
  };
  const rules: readonly (readonly [RegExp, (match: RegExpExecArray) => Promise<unknown>])[] = [
    [
      /^(\S+) holds (\d+) messages?$/,
      async ([, name = 'INBOX', number]) => {
        await flush();
        mailbox = name;
        count = Number(number);
        if (name !== 'INBOX') await setup.run(`CREATE ${name}`);
      },
    ],
    [/^mailbox (\S+) exists$/, ([, name]) => setup.ok(`CREATE ${name}`)],
    [/^(\S+) is subscribed$/, ([, name]) => setup.ok(`SUBSCRIBE ${name}`)],
    [/^message (\d+) has (\(.*\))$/, async ([, number, list = '']) => flags.set(Number(number), list)],
    [/^message (\d+) is <<(.*)>>$/, async ([, number, octets = '']) => contents.set(Number(number), decodeEscapes(octets))],
    [
      /^(\w+(?: and \w+)*) ha(?:s|ve) it (selected|examined)$/,
      async ([, names = '', how]) => {
        await flush();
        for (const name of names.split(' and '))
          await (await run.client(name)).ok(`${how === 'selected' ? 'SELECT' : 'EXAMINE'} ${mailbox}`);
      },
    ],
    [
      /^(\w+(?: and \w+)*) ha(?:s|ve) enabled (.+)$/,
      async ([, names = '', features]) => {
        for (const name of names.split(' and ')) await (await run.client(name)).ok(`ENABLE ${features}`);
      },
    ],
    [/^messages are recent$/, async () => undefined],
  ];
  for (const clause of given) {
    const rule = rules.find(([pattern]) => pattern.test(clause));
    const match = rule?.[0].exec(clause);
    if (rule === undefined || match === null || match === undefined) assert.fail(`given: not understood: ${clause}`);
    await rule[1](match);
  }
  await flush();
}
