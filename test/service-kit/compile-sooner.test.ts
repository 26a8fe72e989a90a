import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { compileSooner } from '#service-kit/compile-sooner.js';

describe('Compiling sooner', () => {
  for (const [role, version, flags] of [
    ['imap', '11.3.244.8-node.33', ['--interrupt-budget=8000']],
    ['imap-login', '11.3.244.8-node.33', ['--interrupt-budget=20000']],
    ['imap', '12.4.254.21-node.33', []],
  ] as const) {
    it(`sets [${flags}] in ${role} under V8 ${version}`, () => {
      const set: string[] = [];
      compileSooner(role, (flag) => void set.push(flag), version);
      assert.deepEqual(set, flags);
    });
  }

  it('uses an option that this V8 knows, and makes it smaller', { skip: !process.versions.v8.startsWith('11.') }, () => {
    const options = execFileSync(process.execPath, ['--v8-options'], { encoding: 'latin1' });
    assert.match(options, /^ +--interrupt-budget .*\n.*default: --interrupt-budget=67584/m);
  });
});
