// Compiles src/ and test/ file by file, and bundles one CommonJS file per process role.
// Only changed files are written, each by rename, so that several builds may run at once.
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import esbuild from 'esbuild';
import { markBytes, train } from './train.mjs';

export const root = fileURLToPath(new URL('..', import.meta.url));
const target = 'node20';

/** Packages that stay in node_modules: native code, and large modules that only few roles load, lazily. */
const external = ['argon2', 'koffi', 'mailparser', 'iconv-lite', 'imapflow', 'fast-check', 'node-pty', 'esbuild'];

export function* walk(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else yield path;
  }
}

function writeIfChanged(path, contents) {
  if (existsSync(path) && readFileSync(path).equals(Buffer.from(contents))) return false;
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, contents);
  renameSync(temporary, path);
  return true;
}

/** Transpiles each .ts below `from` into `to`; returns the number of files that do not parse. */
function transpile(from, to) {
  let broken = 0;
  const expected = new Set();
  for (const path of walk(join(root, from))) {
    if (!path.endsWith('.ts')) continue;
    const out = join(root, to, relative(join(root, from), path).replace(/\.ts$/, '.js'));
    expected.add(out);
    if (existsSync(out) && statSync(out).mtimeMs >= statSync(path).mtimeMs) continue;
    try {
      const { code } = esbuild.transformSync(readFileSync(path, 'utf8'), {
        loader: 'ts',
        target,
        format: 'esm',
        sourcemap: 'inline',
        sourcefile: path,
      });
      mkdirSync(dirname(out), { recursive: true });
      const temporary = `${out}.${process.pid}.tmp`;
      writeFileSync(temporary, code);
      renameSync(temporary, out);
    } catch (error) {
      broken += 1;
      console.error(String(error.message ?? error));
    }
  }
  for (const path of walk(join(root, to))) {
    if (path.endsWith('.js') && !expected.has(path) && !path.startsWith(join(root, 'dist', 'bin'))) rmSync(path, { force: true });
  }
  return broken;
}

/** Entry text of each bundle; a role's main.ts exports `role`, the kit runs it. */
function entries() {
  const list = [];
  const services = join(root, 'src', 'services');
  if (existsSync(services)) {
    for (const name of readdirSync(services)) {
      if (name === 'master' || !existsSync(join(services, name, 'main.ts'))) continue;
      const source = readFileSync(join(services, name, 'main.ts'), 'utf8');
      for (const [, exported] of source.matchAll(/export const (\w*[rR]ole)\b/g)) {
        const file = exported === 'role' ? name : exported.replace(/Role$/, '').replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
        list.push({
          file: join('dist', 'roles', `${file}.code.js`),
          isRole: true,
          text: `import { ${exported} as role } from '#services/${name}/main.js';\nimport { runService } from '#service-kit/run-service.js';\nrunService(role);\n`,
        });
      }
    }
  }
  for (const [bin, module] of [
    ['roost', 'server'],
    ['roostadm', 'admin'],
  ]) {
    if (existsSync(join(root, 'src', 'bin', `${module}.ts`))) {
      list.push({
        file: join('dist', 'bin', `${bin}.cjs`),
        banner: '#!/usr/bin/env node',
        text: `import { main } from '#bin/${module}.js';\nmain(process.argv.slice(2)).then((code) => { process.exitCode = code; }, (error) => { console.error(error); process.exitCode = 89; });\n`,
      });
    }
  }
  return list;
}

/** Built-in modules that cost a role's start time (together 10 ms and more) and that most processes need late or never. */
const lateBuiltins = [
  'assert',
  'child_process',
  'crypto',
  'dns',
  'fs/promises',
  'module',
  'perf_hooks',
  'stream/promises',
  'tls',
  'v8',
  'vm',
  'worker_threads',
  'zlib',
];

/** Loads those at their first use. esbuild leaves `var NAME = require("node:MODULE");` in front, and then uses only properties of NAME. */
export function withLateBuiltins(code) {
  const declaration = /^var (import_\w+) = require\("node:([\w/]+)"\);\n/gm;
  const late = new Map(
    [...code.matchAll(declaration)].filter(([, , module]) => lateBuiltins.includes(module)).map(([, name, module]) => [name, module]),
  );
  for (const [, name, next] of code.matchAll(/\b(import_\w+)\b( = require)?(?!\.)/g)) if (next === undefined) late.delete(name);
  const holderOf = (module) => `__late_${module.replace(/\W/g, '_')}`;
  const holders = new Set([...late.values()].map(holderOf));
  if (holders.size === 0) return code;
  const used = code
    .replace(declaration, (line, name) => (late.has(name) ? '' : line))
    .replace(/\b(import_\w+)\./g, (use, name) => {
      const module = late.get(name);
      return module === undefined ? use : `(${holderOf(module)} ??= require("node:${module}")).`;
    });
  return `let ${[...holders].join(', ')};\n${used}`;
}

/** What pino brings for transports and files: with worker threads, a tenth of what a role has to load. Roles write to standard error themselves. */
const unusedOfPino = {
  name: 'unused-of-pino',
  setup(build) {
    const unused = /^(\.\/transport|\.\/lib\/transport|worker_threads|thread-stream|sonic-boom|on-exit-leak-free)$/;
    build.onResolve({ filter: unused }, ({ path, importer }) =>
      /node_modules\/pino\//.test(importer) ? { path, namespace: 'unused-of-pino' } : undefined,
    );
    build.onLoad({ filter: /./, namespace: 'unused-of-pino' }, ({ path }) => ({
      contents:
        path === 'worker_threads'
          ? 'exports.isMainThread = true;'
          : `module.exports = function () { throw new Error('${path} of pino is left out of the bundles'); };`,
    }));
  },
};

/** The code behind its mark, and the loader that the master starts. */
function writeRole(path, text) {
  // One octet a character: half the memory, and read as it is. What esbuild leaves are regular expressions, where the escape means the same.
  const code = text.replace(/[^\x00-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const mark = `/* ${createHash('sha256')
    .update(process.version)
    .update(code)
    .digest('hex')
    .slice(0, markBytes - 7)} */\n`;
  writeIfChanged(path, `${mark}(function (exports, require, module, __filename, __dirname) {${code}\n})`);
  writeIfChanged(path.replace(/\.code\.js$/, '.cjs'), readFileSync(join(root, 'packaging', 'role-loader.cjs')));
}

/** Roles whose compiled code is missing, or of another bundle or Node. */
function untrained() {
  const folder = join(root, 'dist', 'roles');
  const names = readdirSync(folder).flatMap((name) => (name.endsWith('.code.js') ? [name.slice(0, -'.code.js'.length)] : []));
  return names.filter((name) => {
    const cache = join(folder, `${name}.code.cache`);
    const mark = readFileSync(join(folder, `${name}.code.js`)).subarray(0, markBytes);
    return !existsSync(cache) || !readFileSync(cache).subarray(0, markBytes).equals(mark);
  });
}

async function bundle() {
  let broken = 0;
  await Promise.all(
    entries().map(async ({ file, text, banner, isRole }) => {
      try {
        const result = await esbuild.build({
          stdin: { contents: text, resolveDir: join(root, 'src'), loader: 'ts', sourcefile: 'entry.ts' },
          bundle: true,
          platform: 'node',
          target,
          format: 'cjs',
          // Packages are CommonJS, which needs no second module loader; and code out of a cache has none.
          supported: { 'dynamic-import': false },
          write: false,
          external,
          sourcemap: false,
          legalComments: 'none',
          logLevel: 'silent',
          logOverride: { 'empty-import-meta': 'silent' },
          banner: { js: banner ?? '' },
          define: { 'import.meta.url': '__bundleUrl' },
          inject: [],
          plugins: [
            ...(isRole ? [unusedOfPino] : []),
            {
              name: 'src',
              setup(build) {
                build.onResolve({ filter: /^#/ }, ({ path }) => ({ path: join(root, 'src', path.slice(1).replace(/\.js$/, '.ts')) }));
              },
            },
          ],
        });
        const prologue = "const __bundleUrl = require('node:url').pathToFileURL(__filename).href;\n";
        const code = result.outputFiles[0].text;
        const firstLine = banner ? code.indexOf('\n') + 1 : 0;
        const whole = code.slice(0, firstLine) + prologue + code.slice(firstLine);
        if (isRole) writeRole(join(root, file), withLateBuiltins(whole));
        else {
          writeIfChanged(join(root, file), whole);
          chmodSync(join(root, file), 0o755);
        }
      } catch (error) {
        broken += 1;
        console.error(`${file}: ${error.message ?? error}`);
      }
    }),
  );
  return broken;
}

/** @returns number of files or bundles that failed */
export async function build({ tests = true } = {}) {
  let broken = transpile('src', 'dist/src');
  if (tests) broken += transpile('test', 'dist-test');
  broken += await bundle();
  const stale = broken === 0 ? untrained() : [];
  const failure = stale.length === 0 ? undefined : await train(root, stale);
  if (failure !== undefined) console.error(`the roles will start slower, their code could not be compiled ahead: ${failure}`);
  return broken;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const startedAt = Date.now();
  const broken = await build();
  console.log(broken === 0 ? `built in ${Date.now() - startedAt} ms` : `${broken} failed`);
  process.exitCode = broken === 0 ? 0 : 1;
}
