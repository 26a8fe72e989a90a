// Counts of one session, for the log line at its end (imap_logout_format).

export interface SessionCounters {
  deleted: number;
  expunged: number;
  trashed: number;
  appended: number;
  fetchHdrCount: number;
  fetchHdrBytes: number;
  fetchBodyCount: number;
  fetchBodyBytes: number;
}

export function newCounters(): SessionCounters {
  return { deleted: 0, expunged: 0, trashed: 0, appended: 0, fetchHdrCount: 0, fetchHdrBytes: 0, fetchBodyCount: 0, fetchBodyBytes: 0 };
}

interface Totals extends SessionCounters {
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

const variables: Readonly<Record<string, (totals: Totals) => number>> = {
  i: ({ bytesRead }) => bytesRead,
  input: ({ bytesRead }) => bytesRead,
  o: ({ bytesWritten }) => bytesWritten,
  output: ({ bytesWritten }) => bytesWritten,
  deleted: ({ deleted }) => deleted,
  expunged: ({ expunged }) => expunged,
  trashed: ({ trashed }) => trashed,
  appended: ({ appended }) => appended,
  fetch_hdr_count: ({ fetchHdrCount }) => fetchHdrCount,
  fetch_hdr_bytes: ({ fetchHdrBytes }) => fetchHdrBytes,
  fetch_body_count: ({ fetchBodyCount }) => fetchBodyCount,
  fetch_body_bytes: ({ fetchBodyBytes }) => fetchBodyBytes,
};

type Piece = string | ((totals: Totals) => number);

/** imap_logout_format, taken apart once: %i, %o, and %{name}. Unknown names stay as they are. */
export class LogoutFormat {
  readonly source: string;
  readonly #pieces: readonly Piece[];

  constructor(source: string) {
    this.source = source;
    this.#pieces = source.split(/(%(?:\{\w+\}|\w|%))/).map((part, index) => {
      if (index % 2 === 0) return part;
      return part === '%%' ? '%' : (variables[part.replace(/[%{}]/g, '')] ?? part);
    });
  }

  fill(totals: Totals): string {
    let text = '';
    for (const piece of this.#pieces) text += typeof piece === 'string' ? piece : piece(totals);
    return text;
  }
}

const formats = new WeakMap<object, LogoutFormat>();

/** @param settings one object for all sessions that they hold for: the compiled form is shared too */
export function formatLogout(settings: { readonly imap_logout_format: string }, totals: Totals): string {
  let format = formats.get(settings);
  if (format === undefined) {
    format = new LogoutFormat(settings.imap_logout_format);
    formats.set(settings, format);
  }
  return format.fill(totals);
}
