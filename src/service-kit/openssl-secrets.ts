// Where in an SSL object of OpenSSL the traffic secrets are.
//
// The library tells them by the key log alone, for which it prints every octet of five lines before anybody is asked: a fifth of a handshake. So the
// key log tells the first handshakes, their objects are searched for what it told, and later ones are read where both have had it. Should a place be
// wrong all the same, the records do not open, which ends the connection (handshake-records.ts, tls-stream.ts): nothing is ever sent under a key that the
// client does not have.

export interface TrafficSecrets {
  readonly client: Buffer;
  readonly server: Buffer;
}

export interface SecretPlaces {
  /** Offsets, octets. */
  readonly client: number;
  readonly server: number;
}

/** In a row, that have to agree. */
const neededSights = 3;
/** Without a place that is the same. */
const maxTries = 12;

export class SecretSearch {
  /** Known from then on. */
  found: SecretPlaces | undefined;
  #seen: SecretPlaces | undefined;
  #sights = 0;
  #tries = 0;

  /** It is no use: places differ, or are none. */
  get isOver(): boolean {
    return this.found !== undefined || this.#tries >= maxTries;
  }

  /** @param object octets of one in which the handshake is done */
  look(object: Buffer, secrets: TrafficSecrets): void {
    if (this.isOver) return;
    this.#tries += 1;
    const client = onlyPlace(object, secrets.client);
    const server = onlyPlace(object, secrets.server);
    if (client === undefined || server === undefined) {
      this.#seen = undefined;
      return;
    }
    const isSame = this.#seen?.client === client && this.#seen.server === server;
    this.#sights = isSame ? this.#sights + 1 : 1;
    this.#seen = { client, server };
    if (this.#sights >= neededSights) this.found = this.#seen;
  }
}

/** Undefined when it is there twice, or not at all. */
function onlyPlace(object: Buffer, secret: Buffer): number | undefined {
  const at = object.indexOf(secret);
  return at >= 0 && object.lastIndexOf(secret) === at ? at : undefined;
}
