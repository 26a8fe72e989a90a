// What `npm start` shows once the server accepts connections: where it listens, and a command to try for each protocol.
import type { ListenerPlan, ServerPlan } from '../plan.js';
import { demoPassword, demoUsers } from './files.js';

interface Row {
  readonly name: string;
  readonly address: string;
  readonly command: string;
}

const login = `${demoUsers[0]}:${demoPassword}`;

const commands: Readonly<Record<string, (at: string) => string>> = {
  imap: (at) => `curl -u ${login} "imap://${at}/INBOX?ALL"`,
  imaps: (at) => `curl -k -u ${login} "imaps://${at}/INBOX;MAILINDEX=1"`,
  pop3: (at) => `curl -u ${login} pop3://${at}/`,
  pop3s: (at) => `curl -k -u ${login} pop3s://${at}/1`,
  smtp: (at) => `curl smtp://${at} --mail-from you@localhost --mail-rcpt demo@localhost -T message.eml`,
  lmtp: (at) => `swaks --protocol LMTP --server ${at} --from you@localhost --to demo2@localhost`,
};
const order = Object.keys(commands);

/** @param configPath where ports and the rest can be changed */
export function tableOf(plan: ServerPlan, configPath: string): string {
  const listeners = plan.services.flatMap((service) =>
    service.listeners.map((listener) => ({ listener, kind: kindOf(service.name, listener) })),
  );
  const rows = listeners
    .filter(({ listener }) => listener.kind === 'inet')
    .sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
    .map(({ listener, kind }): Row => {
      const at = `${listener.address.includes(':') ? `[${listener.address}]` : listener.address}:${listener.port}`;
      return { name: kind.toUpperCase(), address: at, command: commands[kind]?.(at) ?? '' };
    });
  const widths = { name: width(rows.map(({ name }) => name)), address: width(rows.map(({ address }) => address)) };
  const lines = rows.map(({ name, address, command }) => `  ${name.padEnd(widths.name)}  ${address.padEnd(widths.address)}  ${command}`);
  return [
    '',
    'Roost runs. To try it:',
    '',
    ...lines,
    '',
    `  Users      ${demoUsers.join(', ')}, password ${demoPassword}; mail goes to ${demoUsers.map((user) => `${user}@localhost`).join(' and ')}`,
    `  Settings   ${configPath}`,
    `  Admin      npx roostadm -c ${configPath} who`,
    '  Stop       Ctrl-C',
    '',
    '',
  ].join('\n');
}

/** `imaps` for the TLS listener of imap-login, whatever the listener is called. */
function kindOf(service: string, listener: ListenerPlan): string {
  return `${service.replace(/-login$/, '')}${listener.isTls ? 's' : ''}`;
}

function width(texts: readonly string[]): number {
  return Math.max(0, ...texts.map((text) => text.length));
}
