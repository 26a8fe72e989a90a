// A process that reads a mailbox, and is killed while it writes its cache anew. Arguments: the Maildir.
import { silentLogger } from '#log/logger.js';
import { unlimitedQuota } from '#storage/driver.js';
import { createMaildirDriver } from '#storage/maildir/driver.js';

const [mailDir = ''] = process.argv.slice(2);
const never = new AbortController().signal;
const paths = { mailDir, controlDir: mailDir, indexDir: mailDir, accountControlDir: mailDir };
const driver = createMaildirDriver({ log: silentLogger });
const mailbox = await driver.open(paths, { name: 'box', quota: unlimitedQuota, isReadOnly: false, log: silentLogger }, never);
const view = await mailbox.openView({ readOnly: false }, never);
process.stdout.write('open\n');
for (;;) {
  await view.prepare([1], { envelope: true, headers: ['subject'] }, never);
  await view.sync({ allowExpunge: true }, never);
  await new Promise((resolve) => setImmediate(resolve));
}
