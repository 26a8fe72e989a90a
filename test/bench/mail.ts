// Messages for load: made once, the same for every server.
const line = `${'The quick brown fox jumps over the lazy dog. '.repeat(2).slice(0, 74)}\r\n`;

/** A plain-text message of about `bytes` octets with CRLF line ends, no line beginning with a dot. */
export function message(bytes: number, index = 0): Buffer {
  const head = `From: Sender ${index} <sender${index % 50}@example.test>\r\nTo: bench <bench@bench.test>\r\nSubject: Message number ${index} of the benchmark\r\nMessage-ID: <${index}.bench@example.test>\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n`;
  const lines = Math.max(1, Math.round((bytes - head.length) / line.length));
  return Buffer.from(head + line.repeat(lines));
}
