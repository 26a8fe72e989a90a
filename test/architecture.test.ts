// Import rules between units (docs/architecture.md, "Dependency direction"), held as data and checked on every source file.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, it } from 'node:test';

interface Rule {
  readonly units: readonly string[];
  /** Built-ins allowed; undefined means any. */
  readonly builtins?: readonly string[];
  readonly packages?: readonly string[];
}

const kit = ['util', 'log', 'config', 'ipc', 'service-kit', 'auth'];
const mailRole = [...kit, 'mail', 'storage', 'pre-auth'];
const pure = ['buffer'];

/** The longest matching unit counts. A unit may always import itself. */
const rules: Record<string, Rule> = {
  // koffi: opened here for everybody who needs a system call that Node does not offer.
  util: { units: [], packages: ['koffi'] },
  log: { units: ['util'], packages: ['pino'] },
  config: { units: ['util', 'log'] },
  'protocol/line': { units: ['util'], builtins: pure },
  'protocol/imap': { units: ['util', 'protocol/line'], builtins: pure },
  'protocol/pop3': { units: ['util', 'protocol/line'], builtins: pure },
  'protocol/smtp': { units: ['util', 'protocol/line'], builtins: pure },
  'protocol/tls': { units: ['util'], builtins: ['buffer', 'crypto'] },
  // iconv-lite and mailparser are loaded lazily, for charsets and text that the runtime's own decoder does not know.
  mail: { units: ['util'], builtins: ['buffer', 'crypto', 'module'], packages: ['iconv-lite', 'mailparser'] },
  sasl: { units: ['util'], builtins: ['buffer', 'crypto'] },
  // koffi: the few system calls that Node does not offer, in ipc/handle-pass.ts.
  ipc: { units: ['util', 'log'], packages: ['koffi'] },
  // argon2 and koffi (libcrypt): password schemes; lru-cache: the auth cache.
  auth: { units: ['util', 'log', 'config', 'ipc', 'sasl'], packages: ['argon2', 'koffi', 'lru-cache'] },
  // lru-cache: recently used mailboxes; koffi: flock.
  storage: { units: ['util', 'log', 'config', 'mail'], packages: ['lru-cache', 'koffi'] },
  delivery: { units: ['util', 'log', 'config', 'mail', 'storage', 'auth'] },
  'service-kit': { units: ['util', 'log', 'config', 'ipc', 'auth', 'protocol/tls'], packages: ['koffi'] },
  'pre-auth': { units: [...kit, 'protocol/line', 'protocol/imap', 'protocol/pop3'] },
  'services/master': { units: [...kit, 'services/registry'], packages: ['argon2'] },
  'services/anvil': { units: kit },
  'services/stats': { units: kit },
  'services/login': { units: [...kit, 'pre-auth', 'protocol/line', 'protocol/imap', 'protocol/pop3'] },
  'services/auth': { units: [...kit, 'sasl'] },
  'services/imap': { units: [...mailRole, 'protocol/imap', 'protocol/line'] },
  'services/imap-hibernate': { units: [...kit, 'protocol/line'] },
  'services/pop3': { units: [...mailRole, 'protocol/pop3', 'protocol/line'] },
  'services/lmtp': { units: [...mailRole, 'protocol/smtp', 'protocol/line', 'delivery'] },
  'services/smtp': { units: [...mailRole, 'protocol/smtp', 'protocol/line', 'delivery'] },
  // The registry names every role's settings, never its code.
  'services/registry': { units: [...kit, 'storage', 'delivery', 'pre-auth', 'services'] },
  cli: { units: [...kit, 'mail', 'storage', 'delivery', 'services/registry'], packages: ['commander'] },
  bin: { units: ['*'] },
};

/** Folders whose files other units may not name, except the listed files and users. */
const privateParts: readonly { readonly folder: string; readonly within: string; readonly except: readonly string[] }[] = [
  { folder: 'storage/maildir', within: 'storage', except: [] },
  { folder: 'storage/index', within: 'storage', except: ['cli'] },
  { folder: 'storage/list', within: 'storage', except: [] },
  { folder: 'storage/quota', within: 'storage', except: [] },
  { folder: 'auth/passdb', within: 'auth', except: ['services/auth'] },
  { folder: 'auth/userdb', within: 'auth', except: ['services/auth'] },
];

/** What login processes may never reach, even through another unit (except types). */
const loginMayNotReach = ['storage', 'mail', 'sasl', 'auth/passdb', 'auth/userdb'];

type Files = ReadonlyMap<string, string>;

interface Import {
  readonly from: string;
  readonly target: string;
  readonly isType: boolean;
}

function unitOf(path: string): string {
  return (
    Object.keys(rules)
      .filter((unit) => path.startsWith(`${unit}/`) || path === `${unit}.ts`)
      .sort((a, b) => b.length - a.length)[0] ?? ''
  );
}

function importsOf(path: string, source: string): Import[] {
  const found: Import[] = [];
  for (const match of source.matchAll(
    /^(?:import|export)\s+(type\s+)?[^;'"]*?from\s+['"]([^'"]+)['"]|^import\s+['"]([^'"]+)['"]|\b(?:import|require)\(\s*['"]([^'"]+)['"]\s*\)/gm,
  )) {
    const target = match[2] ?? match[3] ?? match[4];
    if (target !== undefined) found.push({ from: path, target, isType: match[1] !== undefined });
  }
  return found;
}

function resolve({ from, target }: Import): { kind: 'file' | 'builtin' | 'package'; name: string } {
  if (target.startsWith('#')) return { kind: 'file', name: target.slice(1).replace(/\.js$/, '.ts') };
  if (target.startsWith('.')) return { kind: 'file', name: normalize(join(dirname(from), target)).replace(/\.js$/, '.ts') };
  const bare = target.replace(/^node:/, '');
  if (target.startsWith('node:') || builtinModules.includes(bare)) return { kind: 'builtin', name: bare.split('/')[0] ?? bare };
  return { kind: 'package', name: target.startsWith('@') ? target.split('/').slice(0, 2).join('/') : (target.split('/')[0] ?? target) };
}

function isWithin(path: string, unit: string): boolean {
  return path.startsWith(`${unit}/`) || path === `${unit}.ts`;
}

/** @returns one line for each forbidden import, cycle or file outside all units */
function violations(files: Files): string[] {
  const problems: string[] = [];
  const graph = new Map<string, string[]>();
  const valueGraph = new Map<string, string[]>();
  for (const [path, source] of files) {
    const unit = unitOf(path);
    const rule = rules[unit];
    if (rule === undefined) {
      problems.push(`${path}: belongs to no unit`);
      continue;
    }
    for (const line of importsOf(path, source)) {
      const { kind, name } = resolve(line);
      if (kind === 'builtin') {
        if (rule.builtins !== undefined && !rule.builtins.includes(name)) problems.push(`${path}: ${unit} may not use node:${name}`);
      } else if (kind === 'package') {
        if (!(rule.packages ?? []).includes(name) && unit !== 'bin') problems.push(`${path}: ${unit} may not use package ${name}`);
      } else {
        graph.set(path, [...(graph.get(path) ?? []), name]);
        if (!line.isType) valueGraph.set(path, [...(valueGraph.get(path) ?? []), name]);
        if (line.target.startsWith('.') && !isWithin(name, unit)) problems.push(`${path}: relative import leaves ${unit}: ${line.target}`);
        if (!isWithin(name, unit) && !rule.units.includes('*') && !rule.units.some((allowed) => isWithin(name, allowed)))
          problems.push(`${path}: ${unit} may not import ${name}`);
        for (const part of privateParts) {
          if (
            isWithin(name, part.folder) &&
            !isWithin(path, part.within) &&
            !part.except.some((user) => isWithin(path, user)) &&
            !path.startsWith('bin/')
          )
            problems.push(`${path}: ${part.folder} is private to ${part.within}`);
        }
      }
    }
  }
  problems.push(...cycles(graph), ...reachable(valueGraph));
  return problems;
}

function cycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const state = new Map<string, 'open' | 'done'>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      found.push(`cycle: ${[...trail.slice(trail.indexOf(path)), path].join(' -> ')}`);
      return;
    }
    state.set(path, 'open');
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    state.set(path, 'done');
  };
  for (const path of graph.keys()) visit(path, []);
  return found;
}

function reachable(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const seen = new Set<string>();
  const queue = [...graph.keys()].filter((path) => path.startsWith('services/login/'));
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    queue.push(...(graph.get(path) ?? []));
  }
  return [...seen].filter((path) => loginMayNotReach.some((unit) => isWithin(path, unit))).map((path) => `login reaches ${path}`);
}

function sourceFiles(): Files {
  const root = join(import.meta.dirname, '..', 'src');
  const files = new Map<string, string>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (entry.name.endsWith('.ts')) files.set(relative(root, path), readFileSync(path, 'utf8'));
    }
  };
  assert.ok(existsSync(root), root);
  visit(root);
  return files;
}

describe('import direction', () => {
  it('holds for every source file', () => {
    const files = sourceFiles();
    assert.ok(files.size > 10, 'the source tree was read');
    assert.deepEqual(violations(files), []);
  });

  const planted: readonly (readonly [name: string, files: Record<string, string>, expected: RegExp])[] = [
    ['a pure codec that uses a socket', { 'protocol/imap/a.ts': "import net from 'node:net';" }, /may not use node:net/],
    [
      'one protocol that imports another',
      { 'protocol/imap/a.ts': "import { x } from '#protocol/smtp/b.js';", 'protocol/smtp/b.ts': '' },
      /may not import protocol\/smtp/,
    ],
    [
      'a login process that names storage',
      { 'services/login/a.ts': "import type { Uid } from '#storage/types.js';", 'storage/types.ts': '' },
      /may not import storage/,
    ],
    [
      'a login process that reaches SASL through the kit',
      { 'services/login/a.ts': "import { x } from '#auth/c.js';", 'auth/c.ts': "import { y } from '#sasl/d.js';", 'sasl/d.ts': '' },
      /login reaches sasl/,
    ],
    [
      'a role that imports another role',
      { 'services/imap/a.ts': "import { x } from '#services/pop3/b.js';", 'services/pop3/b.ts': '' },
      /may not import services\/pop3/,
    ],
    ['a package nobody asked for', { 'mail/a.ts': "import x from 'left-pad';" }, /may not use package left-pad/],
    [
      'storage that imports a protocol',
      { 'storage/a.ts': "export { x } from '#protocol/imap/b.js';", 'protocol/imap/b.ts': '' },
      /may not import protocol/,
    ],
    [
      'a private folder',
      { 'services/imap/a.ts': "import { x } from '#storage/maildir/b.js';", 'storage/maildir/b.ts': '' },
      /private to storage/,
    ],
    [
      'a cycle through types',
      { 'util/a.ts': "import type { B } from './b.js';", 'util/b.ts': "import type { A } from './a.js';" },
      /cycle/,
    ],
    ['a relative import that leaves its unit', { 'util/a.ts': "import { x } from '../log/b.js';", 'log/b.ts': '' }, /leaves util/],
    ['a lazy import', { 'services/imap/a.ts': "const x = await import('koffi');" }, /may not use package koffi/],
    ['a file outside all units', { 'stray/a.ts': '' }, /belongs to no unit/],
  ];
  for (const [name, files, expected] of planted) {
    it(`refuses ${name}`, () => {
      assert.match(violations(new Map(Object.entries(files))).join('\n'), expected);
    });
  }
});
