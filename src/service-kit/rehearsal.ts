// A template plays one session before anybody has a copy of it made. What V8 compiles and learns on the way, and what Node loads, every copy then has.
import type { ControlLink } from './control-link.js';
import { closeFolder, openFolder, removeAbandoned } from './rehearsal-folder.js';
import { Stage, stageTimeoutMs } from './rehearsal-stage.js';
import type { Role } from './role.js';

/** Names of what the event loop waits for: requests to the thread pool, and what is on its way through sockets. */
const unfinished = /Req|REQUEST|ConnectWrap|ShutdownWrap|WriteWrap|TCPSocketWrap/;

/**
 * Plays `role.rehearsal`, if there is one.
 * @param serve runs the role until it has served its one client
 * @throws Error when it does not come to its end; the process is of no use then
 */
export async function rehearse(role: Role, serve: (control: ControlLink) => Promise<void>): Promise<void> {
  const { rehearsal } = role;
  if (rehearsal === undefined) return;
  const folder = openFolder();
  if (folder === '' && rehearsal.settings !== undefined) return;
  const stage = new Stage(role, rehearsal, folder, { serviceCount: 1, title: `roost/${role.name}` });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the rehearsal stopped at ${stage.position}`)), stageTimeoutMs);
  });
  try {
    await Promise.race([play(stage, serve), late]);
  } finally {
    clearTimeout(timer);
    stage.close();
    closeFolder(folder);
  }
  if (folder !== '') await removeAbandoned();
  await settled();

  async function play(open: Stage, run: typeof serve): Promise<void> {
    await open.open(run);
    await open.session(rehearsal?.lines ?? []);
    await open.end();
  }
}

/** A copy has the main thread only: what other threads are in the middle of would never end there. */
async function settled(): Promise<void> {
  const deadline = performance.now() + stageTimeoutMs;
  while (process.getActiveResourcesInfo().some((name) => unfinished.test(name))) {
    if (performance.now() > deadline) throw new Error(`the rehearsal left ${process.getActiveResourcesInfo().join(', ')}`);
    await new Promise<void>((resolve) => setTimeout(resolve, 5));
  }
}
