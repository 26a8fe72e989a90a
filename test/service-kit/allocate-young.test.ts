import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { allocateYoung } from '#service-kit/allocate-young.js';

/** Sessions that stay, then as many that soon go. Prints the octets that the latter leave behind among the old objects. */
const sessions = `
  const { getHeapSpaceStatistics } = require('node:v8');
  const oldBytes = () => getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space').space_used_size;
  const begin = (index) => { const session = { index, stream: undefined }; session.stream = [session, index]; return session; };
  const play = (open, count) => { for (let index = 0; index < count; index += 1) open[index % open.length] = begin(index); };
  const staying = new Array(50_000).fill(undefined);
  play(staying, 50_000);
  const before = oldBytes();
  play(new Array(10).fill(undefined), 50_000);
  console.log(oldBytes() - before);
`;

function leftBehind(flag: string | undefined): number {
  const tell = flag === undefined ? '' : `require('node:v8').setFlagsFromString('${flag}');`;
  const youngOfOneMegabyte = ['--min-semi-space-size=1', '--max-semi-space-size=1'];
  return Number(execFileSync(process.execPath, [...youngOfOneMegabyte, '-e', `${tell}${sessions}`], { encoding: 'latin1' }));
}

describe('Allocating young', () => {
  for (const [version, flags] of [
    ['11.3.244.8-node.33', ['--no-allocation-site-pretenuring']],
    ['12.4.254.21-node.33', []],
  ] as const) {
    it(`sets [${flags}] under V8 ${version}`, () => {
      const set: string[] = [];
      allocateYoung((flag) => void set.push(flag), version);
      assert.deepEqual(set, flags);
    });
  }

  it('leaves less of short sessions that follow long ones, also when it is told while it runs', {
    skip: !process.versions.v8.startsWith('11.'),
  }, () => {
    const usual = leftBehind(undefined);
    const young = leftBehind('--no-allocation-site-pretenuring');
    assert.ok(young < usual / 2, `${young} octets, otherwise ${usual}`);
  });
});
