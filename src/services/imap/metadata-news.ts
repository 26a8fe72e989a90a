// ENABLE METADATA and METADATA-SERVER (RFC 5464 4.4): changes by others are told with the next command, and during IDLE at once.
import { MetadataWatch } from './metadata-watch.js';
import type { Session, SessionNews } from './session.js';

export class MetadataNews implements SessionNews {
  readonly #session: Session;
  readonly #watch: MetadataWatch;
  readonly #listeners = new Set<() => void>();
  #isDue = false;
  #stop: (() => void) | undefined;

  /** @param hasMailboxes false: only the server's entries (METADATA-SERVER) */
  constructor(session: Session, hasMailboxes: boolean) {
    this.#session = session;
    this.#watch = new MetadataWatch(session, { server: true, mailbox: () => hasMailboxes });
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#stop = await this.#session.user.watchList(() => {
      this.#isDue = true;
      for (const listener of [...this.#listeners]) listener();
    });
    await this.#watch.start(signal);
  }

  async write(signal: AbortSignal): Promise<void> {
    if (!this.#isDue) return;
    this.#isDue = false;
    const lines = await this.#watch.changes(signal);
    // NOTIFY, where it is in use, decides what is told.
    if (this.#session.notify === undefined) for (const line of lines) this.#session.text(line);
  }

  watch(onChange: () => void): () => void {
    this.#listeners.add(onChange);
    return () => this.#listeners.delete(onChange);
  }

  expectMetadata(mailbox: string | undefined, signal: AbortSignal): Promise<void> {
    return this.#watch.learn(mailbox, signal);
  }

  close(): void {
    this.#stop?.();
  }
}
