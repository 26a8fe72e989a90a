// Accounts beside those that all sessions share: each is played by few clients whose commands are judged one by one.
import type { LineClient } from '../support/line-client.js';

export interface SidePlayContext {
  readonly random: (below: number) => number;
  /** Ends the whole run. */
  readonly fail: (reason: string) => never;
  /** Somebody else has failed, or the time is over. */
  readonly signal: AbortSignal;
  readonly trace: ((line: string) => void) | undefined;
}

/** Until the signal. @returns how many commands it took */
export type SidePlay = (context: SidePlayContext) => Promise<number>;

/** A client of a play that remembers what it said. */
export class PlayClient {
  readonly name: string;
  commands = 0;
  readonly #client: LineClient;
  readonly #context: SidePlayContext;
  readonly #history: string[] = [];

  constructor(name: string, client: LineClient, context: SidePlayContext) {
    this.name = name;
    this.#client = client;
    this.#context = context;
  }

  /** @returns untagged lines, then the tagged one without its tag */
  async run(command: string): Promise<readonly string[]> {
    this.commands += 1;
    this.#note(`> ${command}`);
    const lines = await this.#client.run(command);
    for (const line of lines) this.#note(`< ${line}`);
    if (!/^(OK|NO) /.test(lines.at(-1) ?? '')) this.fail(`${lines.at(-1)} to ${command.slice(0, 80)}`);
    return lines;
  }

  /** The same, where it has to succeed. */
  async ok(command: string): Promise<readonly string[]> {
    const lines = await this.run(command);
    if (lines.at(-1)?.startsWith('OK') !== true) this.fail(`${command.slice(0, 80)}: ${lines.at(-1)}`);
    return lines;
  }

  fail(reason: string): never {
    return this.#context.fail(`${this.name}: ${reason}\n${this.#history.join('\n')}`);
  }

  close(): void {
    this.#client.close();
  }

  #note(line: string): void {
    this.#context.trace?.(`${this.name} ${line}`);
    this.#history.push(line.slice(0, 240));
    if (this.#history.length > 60) this.#history.splice(0, 30);
  }
}
