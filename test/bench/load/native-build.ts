// Compiles the load client (native/*.cc) when it is first needed, into dist-test.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const sourceFolder = join(root, 'test', 'bench', 'load', 'native');
const outFolder = join(root, 'dist-test', 'bench', 'native');
const flags = ['-std=c++20', '-O2', '-Wall', '-Wextra', '-Werror'];
const compileTimeoutMs = 180_000;

/** Path of the program, or undefined where there is no g++. */
export type NativeProgram = string | undefined;

let built: Promise<NativeProgram> | undefined;

/**
 * The same program for all that ask; several processes may do so at once.
 * @throws Error with the compiler's words when the sources do not compile
 */
export function nativeProgram(): Promise<NativeProgram> {
  built ??= compile({ sourceFolder, outFolder, compiler: 'g++' });
  return built;
}

export interface Compilation {
  readonly sourceFolder: string;
  readonly outFolder: string;
  readonly compiler: string;
}

/** @throws Error with the compiler's words when the sources do not compile */
export async function compile({ sourceFolder, outFolder, compiler }: Compilation): Promise<NativeProgram> {
  const version = await run(compiler, ['--version']);
  if (version === undefined) return undefined;
  const names = readdirSync(sourceFolder).sort();
  const hash = createHash('sha256').update(version).update(flags.join(' '));
  for (const name of names) hash.update(name).update(readFileSync(join(sourceFolder, name)));
  const program = join(outFolder, `load-client-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(program)) return program;
  mkdirSync(outFolder, { recursive: true });
  const sources = names.filter((name) => name.endsWith('.cc')).map((name) => join(sourceFolder, name));
  const temporary = `${program}.${process.pid}.tmp`;
  try {
    await run(compiler, [...flags, '-o', temporary, ...sources, '-ldl']);
    renameSync(temporary, program);
  } finally {
    rmSync(temporary, { force: true });
  }
  return program;
}

/** @returns what it has printed; undefined where there is no such program */
async function run(command: string, args: readonly string[]): Promise<string | undefined> {
  try {
    return (await promisify(execFile)(command, args, { timeout: compileTimeoutMs })).stdout;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    const words = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
    throw new Error(`the load client does not compile: ${words.slice(0, 4_000)}`, { cause: error });
  }
}
