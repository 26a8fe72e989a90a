// What the scenarios of large mailboxes have in common.
import { ImapLoad } from '../load/imap-client.js';
import { type Peer, password, userName } from '../peers/peer.js';
import { practised } from '../practised.js';
import { treeCpuMs } from '../processes.js';
import type { Figure, Size } from '../scenario.js';

/** An argument of ImapLoad.command, or a call. */
export type Command = string | ((client: ImapLoad) => Promise<unknown>);

/** Dovecot takes longer than the usual minute over the largest mailboxes, on a busy machine. */
const patienceMs = 300_000;
/** Between the end of the last session and when the mailbox has left the memory of a server that keeps it for a while. */
const forgetMs = 200;
/** A client that was busy for a larger part of a command may be what was measured. */
const busyShare = 0.5;
/** Below it, the clock of CPU time says nothing. */
const shortestMs = 20;

export async function openClient(peer: Peer): Promise<ImapLoad> {
  return ImapLoad.login({ ...peer.endpoint('imap'), replyTimeoutMs: patienceMs }, userName(0), password);
}

/** A command with a reply of megabytes, which is counted and not kept: putting it together would take the client about as long as the server takes to send it. */
export function long(text: string): Command {
  return (client) => client.count(text);
}

/** Wall time and server CPU of one command. */
export async function once(peer: Peer, client: ImapLoad, what: string, command: Command): Promise<readonly Figure[]> {
  const cpuBefore = treeCpuMs(peer.pid);
  const clientBefore = process.cpuUsage();
  const before = performance.now();
  await (typeof command === 'string' ? client.command(command) : command(client));
  const time = performance.now() - before;
  const { user, system } = process.cpuUsage(clientBefore);
  const share = (user + system) / 1_000 / time;
  if (time > shortestMs && share > busyShare)
    process.stderr.write(`  the client was busy for ${Math.round(share * 100)} % of ${peer.name}'s ${what}\n`);
  return [
    { metric: what, unit: 'ms', better: 'lower', value: time },
    { metric: `${what}: CPU`, unit: 'ms', better: 'lower', value: treeCpuMs(peer.pid) - cpuBefore },
  ];
}

/** Before this run no client has had a command of the processes that follow. */
export async function startAnew(peer: Peer, size: Size): Promise<void> {
  await peer.restart?.();
  await practised(peer, size);
}

/** A session with the mailbox selected; afterwards it is in nobody's memory. */
export async function inMailbox(
  peer: Peer,
  mailbox: string,
  work: (client: ImapLoad) => Promise<readonly Figure[]>,
): Promise<readonly Figure[]> {
  const client = await openClient(peer);
  await client.command(`SELECT ${mailbox}`);
  const figures = await work(client);
  await client.logout();
  await forget();
  return figures;
}

export async function forget(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, forgetMs));
}

export function named(state: string, figures: readonly Figure[]): readonly Figure[] {
  return figures.map((figure) => ({ ...figure, metric: `${state}: ${figure.metric}` }));
}
