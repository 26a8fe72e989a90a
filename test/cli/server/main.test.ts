import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type MasterCommands, runServerCommand } from '#cli/server/main.js';
import { parseServerOptions } from '#cli/server/options.js';
import { defaultConfigFile } from '#config/load.js';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
  readonly calls: readonly unknown[];
}

/** Runs `roost` with a configuration file; `CONFIG` among the arguments stands for its path. */
async function roost(test: TestContext, config: string, ...argv: string[]): Promise<Ran> {
  const folder = mkdtempSync(join(tmpdir(), 'roost-cli-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'x.conf');
  writeFileSync(path, config);
  const written = { out: '', error: '' };
  const calls: unknown[] = [];
  const master: MasterCommands = {
    runMaster: async (options) => {
      calls.push(options);
      return 7;
    },
    controlMaster: async (file, action) => {
      calls.push([file, action]);
      return 8;
    },
  };
  const output = {
    out(text: string): void {
      written.out += text;
    },
    error(text: string): void {
      written.error += text;
    },
  };
  const args = argv.map((arg) => (arg === 'CONFIG' ? path : arg));
  const code = await runServerCommand(args, output, async () => master);
  const clean = (text: string): string => text.replaceAll(path, 'FILE');
  return { code, out: clean(written.out), error: clean(written.error), calls };
}

describe('The command line of roost', () => {
  const print = {
    kind: 'print',
    mode: 'all',
    showsSecrets: false,
    showsNames: true,
    expandsFiles: false,
    names: [],
    configFile: defaultConfigFile,
  };
  const table: readonly (readonly [argv: readonly string[], expected: object])[] = [
    [[], { kind: 'run', foreground: false, configFile: defaultConfigFile }],
    [['-F', '-c', 'x'], { kind: 'run', foreground: true, configFile: 'x' }],
    [['-Fcx'], { kind: 'run', foreground: true, configFile: 'x' }],
    [['reload', '-c', 'x'], { kind: 'control', action: 'reload', configFile: 'x' }],
    [['-c', 'x', 'stop'], { kind: 'control', action: 'stop', configFile: 'x' }],
    [['dev'], { kind: 'dev', configFile: undefined }],
    [['dev', '-c', 'y'], { kind: 'dev', configFile: 'y' }],
    [['-n'], { ...print, mode: 'changed' }],
    [['-nP', '-c', 'x'], { ...print, mode: 'changed', showsSecrets: true, configFile: 'x' }],
    [['-N'], { ...print, mode: 'written' }],
    [['-a'], print],
    [['-d'], { ...print, mode: 'defaults' }],
    [['-h', 'base_dir'], { ...print, showsNames: false, names: ['base_dir'] }],
    [['base_dir', 'ssl'], { ...print, names: ['base_dir', 'ssl'] }],
    [['--explain-limits', '-c', 'x'], { kind: 'explain-limits', configFile: 'x' }],
    [['--version'], { kind: 'text', what: 'version' }],
    [['-n', '--', '-x'], { ...print, mode: 'changed', names: ['-x'] }],
  ];
  for (const [argv, expected] of table) {
    it(`takes ${argv.join(' ') || 'nothing'}`, () => {
      assert.deepEqual(parseServerOptions(argv), expected);
    });
  }

  for (const argv of [['-z'], ['--nothing'], ['-c'], ['-p'], ['-F', '-n'], ['--constructor']]) {
    it(`refuses ${argv.join(' ')}`, async (test) => {
      const { code, error } = await roost(test, '', ...argv);
      assert.equal(code, 89);
      assert.match(error, /^roost: Fatal: .*\nusage:/);
    });
  }

  it('starts the server and passes on its exit code', async (test) => {
    assert.deepEqual(await roost(test, '', '-F', '-c', 'a.conf'), {
      code: 7,
      out: '',
      error: '',
      calls: [{ configFile: 'a.conf', foreground: true }],
    });
  });

  it('reloads and stops the server', async (test) => {
    assert.deepEqual((await roost(test, '', 'reload', '-c', 'a.conf')).calls, [['a.conf', 'reload']]);
    assert.equal((await roost(test, '', 'stop', '-c', 'a.conf')).code, 8);
  });

  it('starts a development instance', async (test) => {
    assert.deepEqual((await roost(test, '', 'dev')).calls, [{ configFile: '', foreground: true, dev: true }]);
  });
});

describe('roost -n', () => {
  it('prints the header and what differs', async (test) => {
    const { code, out, error } = await roost(test, 'ssl = no\nlog_path = syslog\n', '-n', '-c', 'CONFIG');
    assert.equal(code, 0);
    assert.equal(error, '');
    assert.match(out, /^# \d+\.\d+\.\d+: FILE\n# OS: Linux \S+.*\n# Hostname: \S+\nssl = no\n$/);
  });

  it('reports every problem with file, line and suggestion, and exits with 89', async (test) => {
    const { code, error } = await roost(test, 'ssl = maybe\nlogin_greting = x\nservice imap {\n client_limit = y\n', '-n', '-c', 'CONFIG');
    assert.equal(code, 89);
    assert.equal(
      error,
      [
        'roost: FILE:1: ssl: Invalid value: maybe (one of: no, yes, required)',
        'roost: FILE:2: Unknown setting: login_greting (did you mean login_greeting?)',
        "roost: FILE:3: Missing '}' (section started at FILE:3) (close service imap {)",
        'roost: FILE:4: client_limit: Invalid number y: not a whole number (write digits only)',
        'roost: Fatal: 4 errors in configuration file FILE',
        '',
      ].join('\n'),
    );
  });

  it('says so when the file cannot be read', async (test) => {
    const { code, error } = await roost(test, '', '-n', '-c', '/nowhere/x.conf');
    assert.equal(code, 89);
    assert.match(error, /Couldn't open configuration file \/nowhere\/x\.conf: No such file or directory/);
  });

  it('does not read keys', async (test) => {
    const { code, out } = await roost(test, 'ssl_key = </nowhere/key\nssl_cert = </nowhere/cert\n', '-n', '-c', 'CONFIG');
    assert.equal(code, 0);
    assert.match(out, /ssl_cert = <\/nowhere\/cert\nssl_key = # hidden/);
  });
});

describe('roost NAME', () => {
  it('prints single settings, also of a configuration with problems elsewhere', async (test) => {
    const { code, out } = await roost(test, 'foo = 1\nbase_dir = /x\n', 'base_dir', '-c', 'CONFIG');
    assert.equal(code, 0);
    assert.equal(out, 'base_dir = /x\n');
    assert.equal((await roost(test, 'base_dir = /x\n', '-h', 'base_dir', '-c', 'CONFIG')).out, '/x\n');
  });

  it('suggests a name for one it does not know', async (test) => {
    const { code, error } = await roost(test, '', 'base_dri', '-c', 'CONFIG');
    assert.equal(code, 89);
    assert.match(error, /Unknown setting: base_dri \(did you mean base_dir\?\)/);
  });
});

describe('roost --explain-limits', () => {
  it('multiplies, and points at what makes no sense', async (test) => {
    const config =
      'protocols = imap\nservice imap {\n client_limit = 5\n service_count = 2\n process_limit = 2\n}\nservice auth {\n client_limit = 10\n}\n';
    const { code, out } = await roost(test, config, '--explain-limits', '-c', 'CONFIG');
    assert.equal(code, 0);
    assert.match(out, /service imap\n {2}connections: at most 4 at a time \(2 processes x 2\)\n {2}memory: at most 512 MB/);
    assert.match(out, /! service_count = 2 caps client_limit = 5 at 2/);
    assert.match(out, /! service auth \{ client_limit=10 \} is lower than required under max\. load \(18\)/);
  });
});
