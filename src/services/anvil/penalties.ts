// How long clients that failed to log in have to wait, by address. Values and their meaning are auth's; here they are kept for a while.

/** A client that is configured wrongly repeats one password; attackers try many. */
const keptChecksums = 10;
/** Addresses kept; the one unchanged for longest goes first. */
const maxAddresses = 100_000;

interface Penalty {
  value: number;
  /** When the value was last set, UNIX time in seconds. */
  lastSeconds: number;
  readonly checksums: number[];
}

export class Penalties {
  readonly #penalties = new Map<string, Penalty>();
  #expireSeconds = 29;

  set expireSeconds(seconds: number) {
    this.#expireSeconds = seconds;
  }

  get(address: string, nowSeconds: number): { readonly value: number; readonly lastSeconds: number } {
    const penalty = this.#find(address, nowSeconds);
    return penalty === undefined ? { value: 0, lastSeconds: 0 } : { value: penalty.value, lastSeconds: penalty.lastSeconds };
  }

  /** @param checksum of what was tried: the same again changes nothing; 0 is none */
  set(address: string, checksum: number, value: number, nowSeconds: number): void {
    const penalty = this.#find(address, nowSeconds) ?? { value: 0, lastSeconds: 0, checksums: [] };
    if (checksum !== 0) {
      if (penalty.checksums.includes(checksum)) return;
      penalty.checksums.push(checksum);
      if (penalty.checksums.length > keptChecksums) penalty.checksums.shift();
    }
    penalty.value = value;
    penalty.lastSeconds = nowSeconds;
    // Set again, so that the order of the map is that of the changes.
    this.#penalties.delete(address);
    this.#penalties.set(address, penalty);
    this.#dropOld(nowSeconds);
  }

  list(nowSeconds: number): { readonly address: string; readonly value: number; readonly lastSeconds: number }[] {
    this.#dropOld(nowSeconds);
    return [...this.#penalties].map(([address, { value, lastSeconds }]) => ({ address, value, lastSeconds }));
  }

  #find(address: string, nowSeconds: number): Penalty | undefined {
    const penalty = this.#penalties.get(address);
    return penalty === undefined || this.#isOld(penalty, nowSeconds) ? undefined : penalty;
  }

  #isOld({ lastSeconds }: Penalty, nowSeconds: number): boolean {
    return nowSeconds - lastSeconds > this.#expireSeconds;
  }

  #dropOld(nowSeconds: number): void {
    for (const [address, penalty] of this.#penalties) {
      if (!this.#isOld(penalty, nowSeconds) && this.#penalties.size <= maxAddresses) return;
      this.#penalties.delete(address);
    }
  }
}
