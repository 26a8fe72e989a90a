// What ps shows with verbose_proctitle: `roost/imap [bob 192.0.2.1 IDLE]`, `roost/imap-login [3 pre-login + 2 TLS proxies]`.

/** Changes within this time are shown together: setting the title costs a system call and sessions change state all the time. */
const coalesceMs = 100;

export interface TitleCounts {
  /** Of the only client, '' when it says nothing or there are others. */
  readonly own: string;
  readonly clients: number;
  readonly preAuth: number;
  readonly relays: number;
}

/** State text without the process's name. */
export function titleState({ own, clients, preAuth, relays }: TitleCounts): string {
  if (clients === 0) return '[idling]';
  if (clients === 1 && own !== '') return `[${own}]`;
  if (preAuth === 0 && relays === 0) return `[${clients} connection${clients === 1 ? '' : 's'}]`;
  const parts = [`${preAuth} pre-login`];
  if (relays > 0) parts.push(`${relays} TLS prox${relays === 1 ? 'y' : 'ies'}`);
  const others = clients - preAuth - relays;
  if (others > 0) parts.push(`${others} connection${others === 1 ? '' : 's'}`);
  return `[${parts.join(' + ')}]`;
}

export class ProcessTitle {
  readonly #name: string;
  readonly #isVerbose: boolean;
  readonly #counts: () => TitleCounts;
  #timer: NodeJS.Timeout | undefined;

  constructor(name: string, isVerbose: boolean, counts: () => TitleCounts) {
    this.#name = name;
    this.#isVerbose = isVerbose;
    this.#counts = counts;
    process.title = name;
  }

  /** To be called when the counts or the client's own text have changed. */
  changed(): void {
    if (!this.#isVerbose) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      process.title = `${this.#name} ${titleState(this.#counts())}`;
    }, coalesceMs).unref();
  }
}
