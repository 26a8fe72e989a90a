// What the server has acknowledged in a soak, and what is there in the end.
import type { Attempt } from './soak-attempt.js';
import { nameOf, SoakStories } from './soak-story.js';

/** A message of which something was promised. */
export interface Promised {
  /** Undefined when it was delivered. */
  readonly uid: number | undefined;
  readonly uidValidity: number | undefined;
  /** As the client sent it; the server may have put header fields in front. */
  readonly text: string;
  /** Undefined when a change of flags was not answered. */
  flags: string | undefined;
  /** `leaving` when a QUIT after DELE was not answered, or not yet: it may be there, marked or not. */
  fate: 'kept' | 'leaving' | 'gone';
}

export class SoakMail {
  readonly stories = new SoakStories();
  /** By user, then by token. */
  readonly #promised: ReadonlyMap<string, Map<string, Promised>>;
  #made = 0;

  constructor(users: readonly string[]) {
    this.#promised = new Map(users.map((user) => [user, new Map()]));
  }

  newToken(): string {
    this.#made += 1;
    return `soak-${this.#made}`;
  }

  of(user: string): Map<string, Promised> {
    return this.#promised.get(user) ?? new Map();
  }

  /** The mailbox of a user, as one connection changes it. */
  by(user: string, attempt: Attempt): SoakMailbox {
    return new SoakMailbox(this, user, attempt);
  }

  get all(): readonly Promised[] {
    return [...this.#promised.values()].flatMap((messages) => [...messages.values()]);
  }

  /**
   * What is wrong with a mailbox.
   * @param lines of FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])
   */
  compare(user: string, uidValidity: number, lines: readonly string[]): readonly string[] {
    const problems: string[] = [];
    const found = new Map<string, { readonly uid: number; readonly flags: string }>();
    for (const line of lines) {
      const token = tokenIn(line);
      if (found.has(token)) problems.push(`${token} of ${user} is there twice`);
      const flags = /FLAGS \(([^)]*)\)/.exec(line)?.[1] ?? '';
      found.set(token, { uid: Number(/UID (\d+)/.exec(line)?.[1]), flags: sorted(flags) });
    }
    for (const [token, promised] of this.of(user)) {
      const message = found.get(token);
      this.stories.note(token, message === undefined ? 'not there in the end' : `there in the end: UID ${message.uid} (${message.flags})`);
      if (message === undefined) {
        if (promised.fate === 'kept')
          problems.push(`${token} of ${user} is lost (${promised.uid === undefined ? 'delivered' : `UID ${promised.uid}`})`);
      } else if (promised.fate === 'gone') problems.push(`${token} of ${user} was deleted and is there`);
      else if (promised.uid !== undefined && promised.uid !== message.uid)
        problems.push(`${token} of ${user} had UID ${promised.uid}, now ${message.uid}`);
      else if (promised.fate === 'kept' && promised.flags !== undefined && sorted(promised.flags) !== message.flags)
        problems.push(`${token} of ${user} had (${promised.flags}), now (${message.flags})`);
      if (promised.uidValidity !== undefined && promised.uidValidity !== uidValidity)
        problems.push(`UIDVALIDITY of ${user} was ${promised.uidValidity}, is ${uidValidity}`);
    }
    return problems;
  }
}

/** What one connection does with the messages of a user, as it is promised and told. */
export class SoakMailbox {
  readonly user: string;
  readonly #mail: SoakMail;
  readonly #attempt: Attempt;

  constructor(mail: SoakMail, user: string, attempt: Attempt) {
    this.user = user;
    this.#mail = mail;
    this.#attempt = attempt;
  }

  newToken(): string {
    return this.#mail.newToken();
  }

  get(token: string): Promised | undefined {
    return this.#mail.of(this.user).get(token);
  }

  promise(token: string, promised: Promised): void {
    this.#mail.of(this.user).set(token, promised);
  }

  /** Does something with messages and tells of it, however it ends. */
  async telling<Answer extends string | readonly string[] | undefined>(
    tokens: readonly string[],
    what: string,
    work: () => Promise<Answer>,
  ): Promise<Answer> {
    const note = (text: string): void => {
      for (const token of tokens) this.#mail.stories.note(token, `${nameOf(this.#attempt)}: ${text}`);
    };
    note(`${what} ...`);
    try {
      const answer = await work();
      note(`${what}: ${(typeof answer === 'string' ? answer : answer?.at(-1)) ?? 'done'}`);
      return answer;
    } catch (error) {
      note(`${what}: failed, ${error instanceof Error ? error.message : String(error)}`);
      throw error;
    }
  }
}

export function messageText(token: string, random: (below: number) => number): string {
  // Some are larger than what a relay lets be on its way, and than what it takes before it gets a socket of its own.
  const repeats = random(60) === 0 ? 130_000 : random(300);
  return `Subject: ${token}\r\n\r\n${'text '.repeat(repeats)}\r\n`;
}

/** '' when there is none. */
export function tokenIn(text: string): string {
  return /^Subject: (\S+)\r$/m.exec(text)?.[1] ?? '';
}

/** Of a message that a problem is about. */
export function tokenNamedIn(problem: string): string | undefined {
  return /\bsoak-\d+\b/.exec(problem)?.[0];
}

function sorted(flags: string): string {
  return flags
    .split(' ')
    .filter((flag) => flag !== '' && flag !== '\\Recent')
    .sort()
    .join(' ');
}
