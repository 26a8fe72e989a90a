// Notices connections that wait on listeners while no process of their service has room. The kernel's signal only says that something
// happened, so each signal looks at all watched sockets.
import type { ListeningSockets } from '#ipc/listening-socket.js';

/** Signals may merge or, on exotic sockets, not come: look again after this. */
const pollMs = 2_000;

export interface Watcher {
  readonly fds: readonly number[];
  /** @param pending connections that wait, over all its sockets */
  onPending(pending: number): void;
}

export class ListenerWatch {
  readonly #sockets: ListeningSockets;
  readonly #watchers = new Set<Watcher>();
  readonly #onSignal = (): void => this.#look();
  #timer: NodeJS.Timeout | undefined;

  constructor(sockets: ListeningSockets) {
    this.#sockets = sockets;
    process.on('SIGIO', this.#onSignal);
  }

  /** Starts watching, and looks at once for what came before. */
  watch(watcher: Watcher): void {
    if (this.#watchers.has(watcher)) return;
    this.#watchers.add(watcher);
    for (const fd of watcher.fds) this.#sockets.signalConnections(fd, true);
    this.#timer ??= setInterval(this.#onSignal, pollMs).unref();
    // Not from within the caller: it is in the middle of a decision.
    setImmediate(() => {
      if (this.#watchers.has(watcher)) this.#lookAt(watcher);
    });
  }

  unwatch(watcher: Watcher): void {
    if (!this.#watchers.delete(watcher)) return;
    for (const fd of watcher.fds) this.#sockets.signalConnections(fd, false);
    if (this.#watchers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  close(): void {
    for (const watcher of [...this.#watchers]) this.unwatch(watcher);
    process.off('SIGIO', this.#onSignal);
  }

  #look(): void {
    for (const watcher of [...this.#watchers]) this.#lookAt(watcher);
  }

  #lookAt(watcher: Watcher): void {
    let pending = 0;
    for (const fd of watcher.fds) pending += this.#sockets.pending(fd);
    if (pending > 0) watcher.onPending(pending);
  }
}
