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

/** Fills imap_logout_format: %i, %o, and %{name}. Unknown names stay as they are. */
export function formatLogout(format: string, counters: SessionCounters, bytesRead: number, bytesWritten: number): string {
  const values: Readonly<Record<string, number>> = {
    i: bytesRead,
    input: bytesRead,
    o: bytesWritten,
    output: bytesWritten,
    deleted: counters.deleted,
    expunged: counters.expunged,
    trashed: counters.trashed,
    appended: counters.appended,
    fetch_hdr_count: counters.fetchHdrCount,
    fetch_hdr_bytes: counters.fetchHdrBytes,
    fetch_body_count: counters.fetchBodyCount,
    fetch_body_bytes: counters.fetchBodyBytes,
  };
  return format.replace(
    /%(?:\{(\w+)\}|(\w)|(%))/g,
    (whole, long: string | undefined, short: string | undefined, percent: string | undefined) => {
      if (percent !== undefined) return '%';
      const value = values[long ?? short ?? ''];
      return value === undefined ? whole : String(value);
    },
  );
}
