// The TLS of a client's connection on its way to another process, beside the descriptor (docs/ipc.md, "TLS"). Only over sockets that nobody else can
// read, and never in a log: with it, one can read and say everything.

/** Of one direction. */
export interface TlsDirectionState {
  /** The traffic secret of TLS 1.3, base64. */
  readonly secret: string;
  /** Of the next record. */
  readonly sequence: number;
}

export interface TlsState {
  /** `TLS_AES_256_GCM_SHA384`. */
  readonly suite: string;
  readonly received: TlsDirectionState;
  readonly sent: TlsDirectionState;
  /** Of the record that has not come whole, base64. */
  readonly partial: string;
}

type Fields = Readonly<Record<string, unknown>>;

const asFields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

/** Undefined when it is none. Whether suite and secrets go together is for whoever uses them. */
export function parseTlsState(value: unknown): TlsState | undefined {
  const { suite, received, sent, partial } = asFields(value);
  const incoming = parseDirection(received);
  const outgoing = parseDirection(sent);
  if (typeof suite !== 'string' || typeof partial !== 'string' || incoming === undefined || outgoing === undefined) return undefined;
  return { suite, received: incoming, sent: outgoing, partial };
}

function parseDirection(value: unknown): TlsDirectionState | undefined {
  const { secret, sequence } = asFields(value);
  if (typeof secret !== 'string' || typeof sequence !== 'number' || !Number.isSafeInteger(sequence) || sequence < 0) return undefined;
  return { secret, sequence };
}
