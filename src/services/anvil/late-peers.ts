// Processes that tell of their sessions later (service-kit/anvil-client.ts), and asking them before an answer that depends on all sessions.

/** Who has said nothing by then is busy, or about to be gone. Questions are waited for 2 s (service-kit/anvil-client.ts). */
const patienceMs = 1_500;

interface Question<Peer> {
  readonly from: Set<Peer>;
  readonly done: () => void;
}

export class LatePeers<Peer extends { askForAll(question: number): void }> {
  readonly #peers = new Set<Peer>();
  readonly #questions = new Map<number, Question<Peer>>();
  readonly #patienceMs: number;
  #lastQuestion = 0;

  constructor(waitMs = patienceMs) {
    this.#patienceMs = waitMs;
  }

  /** It may have sessions that it has not told of. */
  add(peer: Peer): void {
    this.#peers.add(peer);
  }

  /** The connection is gone, and its sessions with it. */
  forget(peer: Peer): void {
    this.#peers.delete(peer);
    for (const question of this.#questions.keys()) this.told(peer, question);
  }

  /** Undefined when there is nobody to ask; else it resolves when all have told, or their time is over. */
  ask(): Promise<void> | undefined {
    if (this.#peers.size === 0) return undefined;
    this.#lastQuestion += 1;
    const number = this.#lastQuestion;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#end(number), this.#patienceMs);
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.#questions.set(number, { from: new Set(this.#peers), done });
      for (const peer of this.#peers) peer.askForAll(number);
    });
  }

  told(peer: Peer, question: number): void {
    const from = this.#questions.get(question)?.from;
    if (from?.delete(peer) === true && from.size === 0) this.#end(question);
  }

  #end(question: number): void {
    this.#questions.get(question)?.done();
    this.#questions.delete(question);
  }
}
