import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { commands } from '#cli/commands.js';
import { version } from '#config/version.js';
import { runAdmin } from '../support/running-roost.js';
import { admin } from './captured.js';

describe('roostadm', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'roost-cli-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  function configFile(name: string, text: string): string {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  }

  it('has help for itself, naming every command', async () => {
    const { code, stdout, stderr } = await admin('--help');
    assert.deepEqual([code, stderr], [0, '']);
    for (const { name } of commands) assert.match(stdout, new RegExp(`^  ${name.split(' ')[0]}\\b`, 'm'));
    assert.deepEqual(await admin('help'), { code, stdout, stderr });
  });

  for (const { name, options = [], arguments: values = [] } of commands) {
    it(`has help for ${name}`, async () => {
      const { code, stdout } = await admin(...name.split(' '), '--help');
      assert.equal(code, 0);
      assert.ok(stdout.startsWith(`Usage: roostadm ${name}`), stdout);
      for (const { flags } of options) assert.ok(stdout.includes(flags), `${flags} is missing`);
      for (const { doc } of [...options, ...values]) assert.ok(doc !== '');
      assert.deepEqual(await admin('help', ...name.split(' ')), { code, stdout, stderr: '' });
    });
  }

  it('prints its version', async () => assert.deepEqual(await admin('--version'), { code: 0, stdout: `${version}\n`, stderr: '' }));

  const mistakes: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /^Usage: roostadm /],
    [['mailbox'], /^Usage: roostadm mailbox <command>/],
    [['xyzzy'], /^roostadm: Fatal: unknown command 'xyzzy'\n$/],
    [['mailbox', 'lst'], /^roostadm: Fatal: unknown command 'lst'\n\(Did you mean list\?\)\n$/],
    [['who', '--nope'], /^roostadm: Fatal: unknown option '--nope'\n$/],
    [['-f', 'xml', 'who'], /^roostadm: Fatal: option '-f, --format <format>' argument 'xml' is invalid\. Allowed choices are /],
    [['mailbox', 'list', '-u'], /^roostadm: Fatal: option '-u, --user <user>' argument missing\n$/],
    [['fetch', '-u', 'x', 'uid'], /^roostadm: Fatal: missing required argument 'query'\n$/],
    [['stop', 'now'], /^roostadm: Fatal: too many arguments for 'stop'/],
  ];
  for (const [args, text] of mistakes) {
    it(`refuses ${args.join(' ') || 'no arguments'} with 64`, async () => {
      const { code, stdout, stderr } = await admin(...args);
      assert.deepEqual([code, stdout], [64, '']);
      assert.match(stderr, text);
    });
  }

  it('takes what looks like an option behind the first word of a query as text', async () => {
    const config = configFile('query.conf', `base_dir = ${folder}/none\nssl = no\n`);
    const { code, stderr } = await admin('-c', config, 'search', '-u', 'x', 'subject', '-foo');
    assert.deepEqual([code, /auth-master.*\(is Roost running\?\)\n$/.test(stderr)], [75, true]);
  });

  it('takes options before the command and behind it', async () => {
    const config = configFile('places.conf', 'base_dir = /nowhere\nssl = no\n');
    const expected = '[{"setting":"base_dir","value":"/nowhere"}]\n';
    assert.equal((await admin('-c', config, '--json', 'config', 'base_dir')).stdout, expected);
    assert.equal((await admin('config', '-c', config, 'base_dir', '--json')).stdout, expected);
    assert.equal((await admin('config', '--config', config, '-f', 'json', 'base_dir')).stdout, expected);
  });

  it('reports every problem of a configuration, and ends with 78', async () => {
    const config = configFile('broken.conf', 'bsae_dir = /x\nmail_fsync = maybe\nssl = no\n');
    const { code, stdout, stderr } = await admin('-c', config, 'who');
    assert.deepEqual([code, stdout], [78, '']);
    assert.match(stderr, /^roostadm: .*broken\.conf:1: .*bsae_dir.*base_dir/m);
    assert.match(stderr, /^roostadm: .*broken\.conf:2: .*mail_fsync/m);
    assert.match(stderr, /^roostadm: Fatal: 2 errors in configuration file .*broken\.conf\n$/m);
    assert.equal((await admin('-c', join(folder, 'missing.conf'), 'who')).code, 78);
  });

  it('shows no stack trace when no server runs', async () => {
    const config = configFile('idle.conf', `base_dir = ${folder}/none\nssl = no\n`);
    for (const args of [
      ['who'],
      ['kick', 'x'],
      ['reload'],
      ['stop'],
      ['user', 'x'],
      ['auth', 'test', 'x', 'y'],
      ['search', '-A', 'all'],
      ['penalty'],
    ]) {
      const { code, stdout, stderr } = await admin('-c', config, ...args);
      assert.deepEqual([args, code, stdout], [args, 75, '']);
      assert.match(stderr, /^roostadm: Fatal: [^\n]*(is Roost running\?|Roost is not running)[^\n]*\n$/);
    }
  });

  it('runs as a program', async () => {
    const { code, stdout } = await runAdmin(['--version']);
    assert.deepEqual([code, stdout], [0, `${version}\n`]);
  });

  it('ends quietly when nobody reads its output any more', async () => {
    const config = configFile('pipe.conf', 'ssl = no\n');
    const program = fileURLToPath(new URL('../../dist/bin/roostadm.cjs', import.meta.url));
    const child = spawn(process.execPath, [program, '-c', config, '--json', 'config'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    await once(child, 'close');
    assert.equal(stderr, '');
  });
});
