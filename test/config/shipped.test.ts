// The files in conf.d and packaging/roost.conf are documentation that must not lie.
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { settingsDocument } from '#cli/server/settings-doc.js';
import { loadConfig } from '#config/load.js';
import { printedItems, printItems } from '#config/print.js';
import { problemText } from '#config/problem.js';
import { version } from '#config/version.js';
import { settingsGroups } from '#services/registry.js';
import { writeFiles } from './support.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Copies the shipped files; `edit` changes the text of each. */
function install(test: Parameters<typeof writeFiles>[0], edit: (text: string) => string = (text) => text): string {
  const folder = writeFiles(test, { 'conf.d/.keep': '' });
  cpSync(join(root, 'conf.d'), join(folder, 'conf.d'), { recursive: true });
  cpSync(join(root, 'packaging', 'roost.conf'), join(folder, 'roost.conf'));
  for (const name of [
    'roost.conf',
    ...readdirSync(join(folder, 'conf.d'))
      .filter((file) => file.endsWith('.conf'))
      .map((file) => `conf.d/${file}`),
  ]) {
    writeFileSync(join(folder, name), edit(readFileSync(join(folder, name), 'utf8')));
  }
  return join(folder, 'roost.conf');
}

const load = (path: string) => loadConfig(path, { groups: settingsGroups, readsValueFiles: false, checksMachine: false });

/** `#key = value` with no blank after the #, and the lines that continue it. */
const commentedDefault = /^(\s*)#([a-z][a-z0-9_]* =)/gm;

describe('The shipped configuration', () => {
  it('is accepted without a word', (test) => {
    assert.deepEqual(load(install(test)).problems.map(problemText), []);
  });

  it('shows in its comments the defaults that the declarations have', (test) => {
    let commented = 0;
    const uncomment = (text: string): string =>
      text.replace(/\\\n#\s+/g, '\\\n  ').replace(commentedDefault, (_, indent, key) => {
        commented += 1;
        return `${indent}${key}`;
      });
    const all = { mode: 'all', showsSecrets: true } as const;
    const shipped = load(install(test));
    const uncommented = load(install(test, uncomment));
    assert.ok(commented > 90, `${commented} commented defaults`);
    assert.deepEqual(uncommented.problems.filter(({ severity }) => severity === 'error').map(problemText), []);
    const global = (config: typeof shipped) => printItems(printedItems({ ...config, layers: config.layers.slice(0, 1) }, all));
    const withoutUnits = (text: string) => text.replace(/vsz_limit = .*/g, 'vsz_limit').replaceAll(/(\d+) hours?\b/g, '$1h');
    assert.equal(withoutUnits(global(uncommented)), withoutUnits(global(shipped)));
    // In protocol blocks a default is what the setting has outside.
    for (const layer of uncommented.layers.slice(1)) {
      for (const [key, { text }] of layer.values) assert.equal(text, shipped.definitions.get(key)?.defaultText, key);
    }
  });
});

describe('docs/settings.md', () => {
  it('is what the declarations say (roost --settings-doc > docs/settings.md)', () => {
    assert.equal(readFileSync(join(root, 'docs', 'settings.md'), 'utf8'), settingsDocument());
  });

  it('names every setting', () => {
    const text = settingsDocument();
    for (const group of settingsGroups) for (const key of Object.keys(group.settings)) assert.ok(text.includes(`| \`${key}\` |`), key);
  });
});

describe('The version', () => {
  it('is that of package.json', () => {
    const { version: packaged } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    assert.equal(version, packaged);
  });
});
