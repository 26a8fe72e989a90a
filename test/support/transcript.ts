// Protocol transcripts: text files with what clients send and what they must receive (docs: test/transcripts/README.md).
import assert from 'node:assert/strict';
import { decodeEscapes } from './escapes.js';
import type { LineClient } from './line-client.js';
import { inOneOrder } from './reply-order.js';

export type Step =
  | { readonly kind: 'send'; readonly client: string; readonly text: string; readonly line: number }
  /** Compressed from here on. */
  | { readonly kind: 'compress'; readonly client: string; readonly line: number }
  | { readonly kind: 'disconnect'; readonly client: string; readonly line: number }
  | { readonly kind: 'raw'; readonly client: string; readonly text: string; readonly line: number }
  /** One line, or several in any order. */
  | { readonly kind: 'expect'; readonly client: string; readonly texts: readonly string[]; readonly line: number; readonly isRaw?: boolean }
  /** May come here, or not. */
  | { readonly kind: 'optional'; readonly client: string; readonly text: string; readonly line: number }
  /** Must come among the lines of the following (opened n). */
  | { readonly kind: 'among'; readonly client: string; readonly text: string; readonly line: number }
  /** What describes a mailbox that is opened, and the tagged OK. */
  | { readonly kind: 'opened'; readonly client: string; readonly exists: number; readonly line: number }
  | { readonly kind: 'nothing'; readonly client: string; readonly line: number }
  | { readonly kind: 'closed'; readonly client: string; readonly line: number };

export interface Transcript {
  readonly title: string;
  readonly rfc: string;
  readonly given: readonly string[];
  /** Settings of the server, `key = value`; a reference server cannot run these. */
  readonly settings: Readonly<Record<string, string>>;
  /** Names of users by client; the others are one and the same. With any there are mailboxes that they share. */
  readonly users: ReadonlyMap<string, string>;
  /** Access control list of the root of what they share. */
  readonly sharedAcl: string;
  /** Why the reference server answers otherwise: then it is not asked. */
  readonly referee: string | undefined;
  /** What clients in different processes see otherwise. */
  readonly apart: string | undefined;
  readonly steps: readonly Step[];
}

export function parseTranscript(source: string, path: string): Transcript {
  const heads = new Map<string, string[]>();
  const steps: Step[] = [];
  let block: { client: string | undefined; texts: string[]; line: number } | undefined;
  for (const [index, raw] of source.split('\n').entries()) {
    const line = index + 1;
    const text = raw.replace(/\s+$/, '');
    const fail: (reason: string) => never = (reason) => assert.fail(`${path}:${line}: ${reason}: ${text}`);
    if (text === '' || text.startsWith('#')) continue;
    const head = /^(title|rfc|given|setting|users|public|referee|apart): (.*)$/.exec(text);
    if (head !== null) {
      heads.set(head[1] ?? '', [...(heads.get(head[1] ?? '') ?? []), head[2] ?? '']);
      continue;
    }
    if (text === '{') {
      block = { client: undefined, texts: [], line };
      continue;
    }
    if (text === '}') {
      if (block?.client === undefined) fail('empty block');
      steps.push({ kind: 'expect', client: block.client, texts: block.texts, line: block.line });
      block = undefined;
      continue;
    }
    const match = /^(\w+)(>>|>|<<|<[?+]?)(?: (.*))?$/.exec(text);
    if (match === null) fail('not understood');
    const [, client = '', arrow, rest = ''] = match;
    if (block !== undefined) {
      if (arrow !== '<' || (block.client !== undefined && block.client !== client)) fail('a block holds the lines of one client');
      block.client = client;
      block.texts.push(rest);
    } else if (arrow === '>' && rest === '(disconnect)') steps.push({ kind: 'disconnect', client, line });
    else if (arrow === '>' && rest === '(compress)') steps.push({ kind: 'compress', client, line });
    else if (arrow === '>') steps.push({ kind: 'send', client, text: rest, line });
    else if (arrow === '>>') steps.push({ kind: 'raw', client, text: rest, line });
    else if (arrow === '<<') steps.push({ kind: 'expect', client, texts: [rest], line, isRaw: true });
    else if (arrow === '<+') steps.push({ kind: 'among', client, text: rest, line });
    else if (arrow === '<?') steps.push({ kind: 'optional', client, text: rest, line });
    else if (/^\(opened \d+\)$/.test(rest)) steps.push({ kind: 'opened', client, exists: Number(rest.slice(8, -1)), line });
    else if (rest === '(nothing)') steps.push({ kind: 'nothing', client, line });
    else if (rest === '(closed)') steps.push({ kind: 'closed', client, line });
    else steps.push({ kind: 'expect', client, texts: [rest], line });
  }
  const [title] = heads.get('title') ?? [];
  assert.ok(title !== undefined, `${path}: no title`);
  const settings = (heads.get('setting') ?? []).map((text) => /^(\S+)\s*=\s*(.*)$/.exec(text)?.slice(1) ?? []);
  return {
    title,
    rfc: heads.get('rfc')?.join('; ') ?? '',
    given: (heads.get('given') ?? [])
      .flatMap((text) => text.split(/;\s*(?=(?:(?:(?!>>).)*<<(?:(?!>>).)*>>)*(?:(?!<<|>>).)*$)/))
      .filter((clause) => clause !== ''),
    settings: Object.fromEntries(settings.map(([key = '', value = '']) => [key, value])),
    users: new Map(
      (heads.get('users') ?? []).flatMap((text) =>
        [...text.matchAll(/(\w+) is (\w+)/g)].map(([, client = '', user = '']) => [client, user] as const),
      ),
    ),
    sharedAcl: (heads.get('public') ?? ['anyone lrwstipekxa']).map((line) => `${line}\n`).join(''),
    referee: heads.get('referee')?.[0],
    apart: heads.get('apart')?.[0],
    steps,
  };
}

export interface TranscriptServer {
  /** @param client name in the transcript */
  connect(client: string): Promise<LineClient>;
  /** Waits long enough for everything that was sent already to arrive. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

/** RFC 9051 6.3.2, with the codes of extensions. */
const selectReply =
  /^\* (?:FLAGS \(|\d+ RECENT$|LIST \(|OK \[(?:CLOSED\]|PERMANENTFLAGS \(|UNSEEN \d|UIDVALIDITY \d|UIDNEXT \d|HIGHESTMODSEQ \d|MAILBOXID \())/;

const month = 'Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec';

export class TranscriptRun {
  readonly #server: TranscriptServer;
  readonly #clients = new Map<string, LineClient>();
  readonly #tags = new Map<string, string>();
  readonly #optional = new Map<string, string[]>();
  readonly #among: string[] = [];
  readonly variables = new Map<string, string>();

  constructor(server: TranscriptServer) {
    this.#server = server;
  }

  async client(name: string): Promise<LineClient> {
    let client = this.#clients.get(name);
    if (client === undefined) {
      client = await this.#server.connect(name);
      this.#clients.set(name, client);
    }
    return client;
  }

  /** `$name` replaced, `<<octets>>` made a literal (`{n+}` when sent). */
  expand(text: string, plus: '+' | ''): string {
    const binary = Buffer.from(text, 'utf8').toString('latin1');
    const replaced = binary.replace(/\$([a-z]\w*)/gi, (whole, name: string) => this.variables.get(name) ?? whole);
    return replaced.replace(/(~?)<<(.*?)>>/gs, (_whole, mark: string, octets: string) => {
      const literal = decodeEscapes(octets);
      return `${mark}{${literal.length}${plus}}\r\n${literal}`;
    });
  }

  async run(transcript: Transcript, path: string): Promise<void> {
    for (const step of transcript.steps) {
      const where = `${path}:${step.line}`;
      const client = await this.client(step.client);
      switch (step.kind) {
        case 'send':
          this.#tags.set(step.client, client.send(this.expand(step.text, '+')));
          break;
        case 'compress':
          client.compress();
          break;
        case 'disconnect':
          client.close();
          break;
        case 'raw':
          client.raw(`${decodeEscapes(this.expand(step.text, '+'))}\r\n`);
          break;
        case 'expect':
          await this.#expect(client, step, where);
          break;
        case 'optional':
          this.#optional.set(step.client, [...(this.#optional.get(step.client) ?? []), step.text]);
          break;
        case 'among':
          this.#among.push(step.text);
          break;
        case 'opened':
          await this.#expectOpened(client, step, where);
          break;
        case 'nothing':
          await this.#server.settle();
          assert.deepEqual(client.unread, [], `${where}: nothing may be sent here`);
          break;
        case 'closed':
          assert.equal(await client.line(), undefined, `${where}: the connection must be closed`);
          break;
      }
    }
    await this.#server.settle();
    for (const [name, client] of this.#clients) assert.deepEqual(client.unread, [], `${path}: lines that ${name} did not expect`);
  }

  async #expect(client: LineClient, step: Step & { kind: 'expect' }, where: string): Promise<void> {
    const open = [...step.texts];
    const optional = this.#optional.get(step.client) ?? [];
    this.#optional.delete(step.client);
    while (open.length > 0) {
      const line = await client.line();
      if (line === undefined) assert.fail(`${where}: connection closed, expected ${open.join(' | ')}`);
      const at = open.findIndex((text) => this.#matches(text, line, step.isRaw === true ? '' : this.#tags.get(step.client)));
      if (at < 0 && optional.some((text) => this.#matches(text, line, undefined))) continue;
      if (at < 0)
        assert.fail(`${where}\n  expected: ${open.join('\n        or: ')}\n  received: ${JSON.stringify(line)}${then(client.unread)}`);
      open.splice(at, 1);
    }
  }

  async #expectOpened(client: LineClient, { client: name, exists }: Step & { kind: 'opened' }, where: string): Promise<void> {
    let found: string | undefined;
    const awaited = this.#among.splice(0);
    for (;;) {
      const line = (await client.line()) ?? '(closed)';
      if (line.startsWith(`${this.#tags.get(name)} `)) {
        assert.match(line, /^\S+ OK /, where);
        assert.equal(found, `* ${exists} EXISTS`, where);
        assert.deepEqual(awaited, [], `${where}: these lines did not come`);
        return;
      }
      const at = awaited.findIndex((text) => this.#matches(text, line, undefined));
      if (at >= 0) awaited.splice(at, 1);
      else if (/ EXISTS$/.test(line)) found = line;
      else assert.match(line, selectReply, where);
    }
  }

  #matches(text: string, line: string, tag: string | undefined): boolean {
    const optional = /\?\{([^{}]*)\}/.exec(text);
    if (optional !== null) {
      const [whole, inside = ''] = optional;
      return [inside, ''].some((given) =>
        this.#matches(
          text.replace(whole, () => given),
          line,
          tag,
        ),
      );
    }
    // With `<<` the line names its tag itself, as the client did with `>>`.
    const isUntagged = /^[*+](?: |$)/.test(text) || tag === '';
    const expected = this.expand(isUntagged ? text : `${tag} ${text}`, '');
    if (this.#matchesAsIs(expected, line)) return true;
    // The order of items within a reply is the server's choice.
    return !expected.includes('...') && this.#matchesAsIs(inOneOrder(expected), inOneOrder(line));
  }

  #matchesAsIs(expected: string, line: string): boolean {
    const names: string[] = [];
    const source = this.#toPattern(expected, names);
    // Text for people differs between servers: a status line is compared up to what the transcript states.
    const isStatus = /^(?:\S+) (?:OK|NO|BAD|BYE)\b/.test(expected) || expected.startsWith('+');
    const match = new RegExp(`^${source}${isStatus ? '(?:$|[ .].*)' : '$'}`, 's').exec(line);
    if (match === null) return false;
    names.forEach((name, index) => {
      if (name !== '') this.variables.set(name, match[index + 1] ?? '');
    });
    return true;
  }

  /** `$x` not yet bound matches one word; `...` anything; `@date` a quoted date-time. */
  #toPattern(text: string, names: string[]): string {
    return text
      .split(/(\$[a-z_]\w*|\.\.\.|@date)/i)
      .map((part) => {
        if (part === '...') return '.*';
        if (part === '@date') return `"[ \\d]\\d-(?:${month})-\\d{4} \\d\\d:\\d\\d:\\d\\d [+-]\\d{4}"`;
        if (!/^\$[a-z_]/i.test(part)) return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
        const name = part.slice(1);
        const earlier = names.indexOf(name);
        if (earlier >= 0) return `\\${earlier + 1}`;
        names.push(name === '_' ? '' : name);
        return '([^\\s()\\[\\]]+)';
      })
      .join('');
  }

  async close(): Promise<void> {
    for (const client of this.#clients.values()) client.close();
    await this.#server.close();
  }
}

/** What came after the line that was not expected, to read a failure by. */
function then(lines: readonly string[]): string {
  return lines.map((line) => `\n      then: ${JSON.stringify(line)}`).join('');
}
