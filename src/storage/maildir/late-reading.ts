// Reading the rest of an index once a client has its mailbox. The command that is first to need it does not wait for the time set here.

/** By then a client that opens a mailbox has what it asks for first, and its next command finds the whole index. */
const restMs = 100;

export class LateReading {
  #timer: NodeJS.Timeout | undefined;

  /** @param read reports its failures itself */
  begin(read: () => void): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      read();
    }, restMs).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
