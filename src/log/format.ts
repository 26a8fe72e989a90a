// Text form of the JSON log lines: `Jul 01 12:00:00 imap-login: Info: Login: ...`.

const levelNames: Readonly<Record<string, string>> = {
  debug: 'Debug',
  info: 'Info',
  warning: 'Warning',
  error: 'Error',
  fatal: 'Fatal',
  trace: 'Debug',
};
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

export type LogLevel = 'debug' | 'info' | 'warning' | 'error';

/** Local time by a strftime pattern; conversions it does not know stay as they are. */
export function formatTimestamp(pattern: string, at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return pattern.replace(/%([a-zA-Z%])/g, (whole, conversion: string) => {
    switch (conversion) {
      case 'b':
      case 'h':
        return months[at.getMonth()] ?? whole;
      case 'a':
        return days[at.getDay()] ?? whole;
      case 'd':
        return two(at.getDate());
      case 'e':
        return String(at.getDate()).padStart(2, ' ');
      case 'm':
        return two(at.getMonth() + 1);
      case 'Y':
        return String(at.getFullYear());
      case 'y':
        return two(at.getFullYear() % 100);
      case 'H':
        return two(at.getHours());
      case 'M':
        return two(at.getMinutes());
      case 'S':
        return two(at.getSeconds());
      case 'F':
        return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
      case 'T':
        return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
      case 'z':
        return formatOffset(-at.getTimezoneOffset());
      case 's':
        return String(Math.floor(at.getTime() / 1000));
      case '%':
        return '%';
      default:
        return whole;
    }
  });
}

function formatOffset(minutes: number): string {
  const absolute = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${String(Math.floor(absolute / 60)).padStart(2, '0')}${String(absolute % 60).padStart(2, '0')}`;
}

/**
 * A JSON line as text, without a line end; a stack of an error follows on lines of its own.
 * @returns undefined when the line is not one of our JSON lines
 */
export function formatLine(line: string, timestampPattern: string): string | undefined {
  let fields: unknown;
  try {
    fields = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof fields !== 'object' || fields === null || !('message' in fields) || typeof fields.message !== 'string') return undefined;
  const level = 'level' in fields ? String(fields.level) : 'info';
  const prefix = 'prefix' in fields ? String(fields.prefix) : '';
  const at = new Date('time' in fields && typeof fields.time === 'number' ? fields.time : Date.now());
  const text = `${formatTimestamp(timestampPattern, at)}${prefix}${levelNames[level] ?? level}: ${printable(fields.message)}`;
  const stack = 'error' in fields ? stackOf(fields.error) : undefined;
  return stack === undefined ? text : `${text}\n${stack.replace(/^/gm, '    ')}`;
}

function stackOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('stack' in error) || typeof error.stack !== 'string') return undefined;
  return error.stack;
}

/** A client must not be able to write lines of its own into a text log, nor to speak to the terminal that shows it. */
function printable(text: string): string {
  return text.replace(/[\x00-\x08\x0a-\x1f\x7f]/g, (octet) =>
    octet === '\n' ? '\\n' : `\\x${octet.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/** Level of a JSON line by its beginning, without parsing it (the logger writes the level first); undefined for other lines. */
export function levelOf(line: string): LogLevel | undefined {
  const match = /^\{"level":"(debug|info|warning|error)"/.exec(line.slice(0, 24));
  switch (match?.[1]) {
    case 'debug':
    case 'info':
    case 'warning':
    case 'error':
      return match[1];
    default:
      return undefined;
  }
}
