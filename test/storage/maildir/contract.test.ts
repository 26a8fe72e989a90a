import { mailboxContract } from '../../contract/mailbox.js';
import { MaildirWorld } from './world.js';

mailboxContract('Maildir', (options) =>
  MaildirWorld.make(options?.maxExpungeHistory === undefined ? {} : { maxExpungeHistory: options.maxExpungeHistory }),
);
