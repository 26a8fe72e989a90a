// Compiles src/ and test/ file by file, and bundles one CommonJS file per process role.
// Only changed files are written, each by rename, so that several builds may run at once.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import esbuild from 'esbuild';

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

/** The code behind its mark, the loader that the master starts, and what V8 made of the code (role-loader.cjs). */
async function writeRole(path, text) {
  // One octet a character: half the memory, and read as it is. What esbuild leaves are regular expressions, where the escape means the same.
  const code = text.replace(/[^\x00-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const mark = `/* ${createHash('sha256').update(process.version).update(code).digest('hex').slice(0, 41)} */\n`;
  writeIfChanged(path, `${mark}(function (exports, require, module, __filename, __dirname) {${code}\n})`);
  writeIfChanged(path.replace(/\.code\.js$/, '.cjs'), readFileSync(join(root, 'packaging', 'role-loader.cjs')));
  const cache = path.replace(/\.js$/, '.cache');
  if (existsSync(cache) && readFileSync(cache, 'latin1').startsWith(mark)) return;
  // Without a cache the role starts all the same.
  await new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, 'packaging', 'code-cache.cjs'), path, cache], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      timeout: 20_000,
    });
    child.on('error', resolve);
    child.on('close', resolve);
    child.stdio[3].on('error', () => undefined);
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
        if (isRole) await writeRole(join(root, file), whole);
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
  return broken;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const startedAt = Date.now();
  const broken = await build();
  console.log(broken === 0 ? `built in ${Date.now() - startedAt} ms` : `${broken} failed`);
  process.exitCode = broken === 0 ? 0 : 1;
}
