// What load clients play, as data: the same for every server and for both clients (native-client.ts, script-client.ts).

/** A user's client. Requests are what a command sends after its tag and a space, line end included. */
export type WorkerPlan =
  /** Log in, send the requests of a session one after the other, log out; then the next session, from the first again after the last. */
  | { readonly kind: 'sessions'; readonly user: string; readonly sessions: readonly Session[] }
  /** Log in before the load, send these in turn as long as it lasts. */
  | { readonly kind: 'held'; readonly user: string; readonly requests: Session }
  /** Say hello before the load, deliver this message again and again as long as it lasts. */
  | { readonly kind: 'delivery'; readonly delivery: Delivery };

export interface Delivery {
  readonly protocol: 'smtp' | 'lmtp';
  readonly sender: string;
  /** One at least. */
  readonly recipients: readonly string[];
  /** In one write with the envelope, by BDAT (RFC 3030). */
  readonly isChunked: boolean;
  /** Dot-stuffed and without the closing line; with BDAT as it is. */
  readonly message: Buffer;
}

export type Session = readonly Buffer[];

export function request(text: string): Buffer {
  return Buffer.from(`${text}\r\n`);
}

/** A request whose last argument is a literal that the server need not ask for (LITERAL+). */
export function requestWithLiteral(text: string, literal: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${text} {${literal.length}+}\r\n`), literal, Buffer.from('\r\n')]);
}

/** So many workers, each of a user of its own as far as there are, who log in and out. */
export function loginPlans(workers: number, userOf: (worker: number) => string): readonly WorkerPlan[] {
  return Array.from({ length: workers }, (_, worker) => ({ kind: 'sessions', user: userOf(worker), sessions: [[]] }));
}

/** So many workers that send the same requests on connections of their own. */
export function heldPlans(workers: number, userOf: (worker: number) => string, requests: Session): readonly WorkerPlan[] {
  return Array.from({ length: workers }, (_, worker) => ({ kind: 'held', user: userOf(worker), requests }));
}

/** So many workers that deliver the same message on connections of their own, each to its recipient. */
export function deliveryPlans(
  workers: number,
  recipientOf: (worker: number) => string,
  { protocol, message, isChunked = false }: Pick<Delivery, 'protocol' | 'message'> & Partial<Pick<Delivery, 'isChunked'>>,
): readonly WorkerPlan[] {
  return Array.from({ length: workers }, (_, worker) => ({
    kind: 'delivery',
    delivery: { protocol, sender: 'sender@example.test', recipients: [recipientOf(worker)], message, isChunked },
  }));
}
