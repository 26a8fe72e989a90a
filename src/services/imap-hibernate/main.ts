// The imap-hibernate role: holds connections whose clients wait in IDLE, so that no imap process has to. It opens no mail and knows nothing of
// the sessions but what to watch; whatever happens, an imap process takes the session up again where it was.
import type { ClientHandle, HandedConnection, Role } from '#service-kit/role.js';
import { FolderWatch } from './folder-watch.js';
import { HeldConnection, holdClock } from './held-connection.js';

/** How often keep-alives and time limits are looked at. */
const tickMs = 500;

export const role: Role = {
  name: 'imap-hibernate',
  settings: [],
  start(context) {
    const folders = new FolderWatch(context.log);
    const held = new Set<HeldConnection>();
    const ticker = setInterval(() => {
      const nowMs = holdClock.nowMs();
      for (const connection of held) connection.tick(nowMs);
    }, tickMs).unref();
    context.onHandoff((handed: HandedConnection): ClientHandle => {
      const connection = new HeldConnection(context, folders, handed, () => held.delete(connection));
      held.add(connection);
      connection.start();
      return connection;
    });
    return Promise.resolve(async () => {
      clearInterval(ticker);
      folders.close();
    });
  },
};
