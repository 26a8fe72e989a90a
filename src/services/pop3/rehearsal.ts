// What most clients do in their session.
import type { Rehearsal } from '#service-kit/role.js';

export const pop3Rehearsal: Rehearsal = {
  from: 'handoff',
  service: 'pop3',
  greeting: /^\+OK/,
  lines: [
    { send: 'CAPA', until: /^\.\r$/m },
    { send: 'STAT', until: /^\+OK/ },
    { send: 'UIDL', until: /^\.\r$/m },
    { send: 'LIST', until: /^\.\r$/m },
    { send: 'NOOP', until: /^\+OK/ },
    { send: 'QUIT', until: /^\+OK/ },
  ],
  settings: (folder) => ({ mail_location: `maildir:${folder}/Maildir`, mail_fsync: 'never' }),
};
