// Kept connections to other processes, by the path of their socket.

interface Link {
  /** No more can be asked of it; what was asked goes on. */
  readonly isSpent?: boolean;
  close(): void;
}

/** Opens a connection; `onClose` is to be called when it is of no use any more. */
export type OpenLink<Kept extends Link> = (path: string, onClose: () => void, descriptorPath: string) => Promise<Kept>;

export class LinkTable<Kept extends Link> {
  readonly #open: OpenLink<Kept>;
  readonly #links = new Map<string, Promise<Kept>>();

  constructor(open: OpenLink<Kept>) {
    this.#open = open;
  }

  /** Rejects as the opening does; the next one tries again. */
  async get(path: string, descriptorPath = ''): Promise<Kept> {
    const known = this.#links.get(path);
    if (known !== undefined) {
      const link = await known;
      if (link.isSpent !== true) return link;
      if (this.#links.get(path) === known) this.#links.delete(path);
      return this.get(path, descriptorPath);
    }
    const forget = (): void => {
      if (this.#links.get(path) === opening) this.#links.delete(path);
    };
    const opening = this.#open(path, () => forget(), descriptorPath);
    this.#links.set(path, opening);
    try {
      return await opening;
    } catch (error) {
      forget();
      throw error;
    }
  }

  close(): void {
    for (const link of this.#links.values()) link.then((open) => open.close(), ignore);
  }
}

const ignore = (): undefined => undefined;
