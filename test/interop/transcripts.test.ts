// Dovecot is asked what Roost's transcripts say: it must answer the same, or the transcript names the reason why it does not.
import { appendFileSync, chownSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
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

/** Whom `users:` of a transcript can name. */
const people = ['bob', 'anna', 'otto', 'eve'] as const;

const sharing = (world: string): string => `namespace public {
  type = public
  prefix = Public/
  separator = /
  location = maildir:${world}/people/public
  subscriptions = no
}
namespace others {
  type = shared
  prefix = shared/%%u/
  separator = /
  location = maildir:%%h/Maildir:INDEX=~/shared/%%u
  subscriptions = no
  list = children
}
plugin {
  acl_shared_dict = file:${world}/people/shared-mailboxes
}
`;

/** Settings of the store that a transcript may have, as fields of each user. */
const userSettings = ['quota_rule', 'acl_groups', 'acl_anyone'] as const;

/** The accounts as they are at the beginning of each transcript. */
async function beginAnew(world: World, { transcript }: TranscriptFile, rewrites: number): Promise<void> {
  rmSync(join(world.folder, 'people'), { recursive: true, force: true });
  const folder = world.makeFolder('people');
  for (const name of [...people, 'public']) world.makeFolder(`people/${name}`);
  const list = join(folder, 'public', 'dovecot-acl');
  writeFileSync(list, `user=bob lrwstipekxa\n${transcript.sharedAcl}`);
  if (process.getuid?.() === 0) chownSync(list, world.mailUid, world.mailGid);
  const fields = userSettings.flatMap((key) => (key in transcript.settings ? [`userdb_${key}=${transcript.settings[key]}`] : []));
  const lines = people.map(
    (name) => `${name}:{PLAIN}${password}:${world.mailUid}:${world.mailGid}::${join(folder, name)}::${fields.join(' ')}\n`,
  );
  const path = join(world.folder, 'users');
  const text = lines.join('');
  if (readFileSync(path, 'utf8') === text) return;
  writeFileSync(path, text);
  // Dovecot reads it again when the second of the last change is another one, and looks once in each second of the clock: in this one it may have
  // looked already, and would not know the groups of this transcript.
  utimesSync(path, rewrites, rewrites);
  await nextSecond();
}

async function nextSecond(): Promise<void> {
  const second = Math.floor(Date.now() / 1000);
  while (Math.floor(Date.now() / 1000) === second) await sleep(1000 - (Date.now() % 1000));
}

describe('transcripts of several users against Dovecot', () => {
  const files = readTranscripts('imap').filter(({ transcript }) => transcript.users.size > 0);
  let world: World | undefined;
  let server: RunningServer | undefined;
  before(async () => {
    requireProgram('dovecot');
    const made = await makeWorld({
      extra,
      settings: { mail_max_userip_connections: '0', auth_cache_size: '0', mail_plugins: 'acl quota' },
    });
    world = made;
    addAccounts(made, []);
    // At the end, where nothing takes the settings back.
    const config = readFileSync(made.configFile, 'utf8').replace('auth_cache_size = 1M\n', '');
    writeFileSync(made.configFile, config + sharing(made.folder));
    server = await startServer('dovecot', made);
  });
  after(async () => {
    await server?.stop();
    world?.remove();
  });
  for (const [index, file] of files.entries()) {
    const referee = (port: number): Referee => ({
      host: '127.0.0.1',
      port,
      login: (_file, user = 'bob') => `${user} ${password}`,
      hasUsers: true,
      isSharedAccount: false,
      settings: new Set([
        'imap_acl = yes',
        'imap_metadata = yes',
        'imap_urlauth_host = imap.example.test',
        'quota = count:User quota',
        ...userSettings,
      ]),
    });
    it(`${file.transcript.title} (${file.name})`, { skip: skippedByReferee(referee(0), file) ?? false }, async () => {
      if (world === undefined) throw new Error('no world');
      await beginAnew(world, file, index + 1);
      await playAgainst(referee(world.ports.imap), file);
    });
  }
});

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
