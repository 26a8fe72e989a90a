// Dovecot is asked what Roost's transcripts say: it must answer the same, or the transcript names the reason why it does not.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { playAgainst, type Referee, readTranscripts, skippedByReferee, type TranscriptFile } from '../support/transcript-play.js';
import { requireProgram } from './support/programs.js';
import { type RunningServer, startServer } from './support/servers.js';
import { makeWorld, password, type World } from './support/world.js';

/** Dovecot keeps its capabilities behind plugins. */
const extra = `mail_attribute_dict = file:%h/attributes
protocol imap {
  mail_plugins = acl imap_acl quota imap_quota zlib imap_zlib
  imap_metadata = yes
  imap_urlauth_host = imap.example.test
}
plugin {
  acl = vfile
  quota = count:User quota
  quota_vsizes = yes
}
`;

/** Files of accounts are read once: every transcript has its own account from the beginning, with its own quota. */
function addAccounts(world: World, files: readonly TranscriptFile[]): void {
  const lines = files.map((file, index) => {
    const rule = file.transcript.settings['quota_rule'];
    const fields = rule === undefined ? '' : `userdb_quota_rule=${rule}`;
    return `t${index}:{PLAIN}${password}:${world.mailUid}:${world.mailGid}::${world.home(`t${index}`)}::${fields}\n`;
  });
  appendFileSync(join(world.folder, 'users'), lines.join(''));
  const config = readFileSync(world.configFile, 'utf8')
    .replace(/ {2}mailbox \w+ \{[^}]*\}\n/g, '')
    .replace(/userdb \{[^}]*\}/, `userdb {\n  driver = passwd-file\n  args = ${join(world.folder, 'users')}\n}`);
  writeFileSync(world.configFile, config);
}

for (const folder of ['imap', 'clients']) {
  describe(`transcripts in ${folder}/ against Dovecot`, { concurrency: 4 }, () => {
    const files = readTranscripts(folder);
    let world: World | undefined;
    let server: RunningServer | undefined;
    let port = 0;
    before(async () => {
      requireProgram('dovecot');
      world = await makeWorld({ extra, settings: { mail_max_userip_connections: '0' } });
      addAccounts(world, files);
      server = await startServer('dovecot', world);
      port = world.ports.imap;
    });
    after(async () => {
      await server?.stop();
      world?.remove();
    });
    for (const [index, file] of files.entries()) {
      const referee = (): Referee => ({
        host: '127.0.0.1',
        port,
        login: () => `t${index} ${password}`,
        isSharedAccount: false,
        settings: new Set([
          'imap_acl = yes',
          'imap_metadata = yes',
          'imap_urlauth_host = imap.example.test',
          'quota_rule',
          'quota = count:User quota',
        ]),
      });
      it(`${file.transcript.title} (${file.name})`, { skip: skippedByReferee(referee(), file) ?? false }, () =>
        playAgainst(referee(), file),
      );
    }
  });
}
