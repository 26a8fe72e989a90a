import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { getHeapSpaceStatistics } from 'node:v8';
import { type Collection, CollectionDecider, collectAll, collectYoung, IdleMemory } from '#service-kit/idle-memory.js';

const mb = 1024 * 1024;

/** Looks, each as CPU share and MB of the young and the old generation. */
function decide(decider: CollectionDecider, looks: readonly (readonly [number, number, number])[], clients = 1_000): Collection[] {
  return looks.map(([cpuShare, young, old]) => {
    const decision = decider.observe({ cpuShare, youngBytes: young * mb, oldBytes: old * mb, clients });
    if (decision === 'full') decider.collected(old * mb);
    return decision;
  });
}

describe('Collecting garbage while a process is quiet', () => {
  const tables: readonly (readonly [string, readonly (readonly [number, number, number])[], readonly Collection[]])[] = [
    [
      'leaves a busy process alone',
      [
        [0.5, 32, 30],
        [0.06, 32, 50],
        [1, 32, 60],
      ],
      ['none', 'none', 'none'],
    ],
    [
      'leaves a small young generation alone',
      [
        [0, 0.5, 8],
        [0, 0.5, 8],
        [0, 0.5, 8],
        [0, 0.5, 8],
      ],
      ['none', 'none', 'none', 'none'],
    ],
    [
      'collects the young generation, and again while it stays large, four times',
      [
        [0, 16, 8],
        [0, 16, 8],
        [0, 16, 8],
        [0, 16, 8],
        [0, 16, 8],
      ],
      ['young', 'young', 'young', 'young', 'none'],
    ],
    [
      'collects what is young between and after full collections',
      [
        [0, 0.5, 8],
        [0.9, 16, 30],
        [0, 16, 30],
        [0, 1, 30],
        [0, 1, 12],
        [0, 1, 12],
        [0, 1, 12],
        [0, 1, 12],
        [0, 1, 12],
      ],
      ['none', 'none', 'young', 'full', 'young', 'full', 'young', 'young', 'none'],
    ],
    [
      'collects everything after a burst, and once more when nothing has happened for a while',
      [
        [0, 0.5, 8],
        [0.9, 16, 30],
        [0, 16, 30],
        [0, 0.5, 30],
        [0, 0.5, 30],
        [0, 0.5, 30],
        [0, 0.5, 30],
        [0, 0.5, 30],
        [0, 0.5, 30],
        [0, 0.5, 30],
      ],
      ['none', 'none', 'young', 'full', 'none', 'full', 'none', 'none', 'none', 'none'],
    ],
    [
      'does not stop a process with a large heap',
      [
        [0, 0.5, 8],
        [0.9, 16, 97],
        [0, 16, 97],
        [0, 0.5, 97],
        [0, 0.5, 97],
      ],
      ['none', 'none', 'young', 'none', 'none'],
    ],
    [
      'collects nothing where little has grown',
      [
        [0, 0.5, 50],
        [0.9, 0.5, 52],
        [0, 0.5, 52],
        [0, 0.5, 52],
        [0, 0.5, 52],
      ],
      ['none', 'none', 'none', 'none', 'none'],
    ],
  ];
  for (const [title, looks, expected] of tables) {
    it(`${title}: ${JSON.stringify(looks)}`, () => {
      assert.deepEqual(decide(new CollectionDecider(), looks), expected);
    });
  }

  it('waits for a minute where the clients of a burst have gone, so that their code is there for the next ones', () => {
    const decider = new CollectionDecider();
    decide(decider, [
      [0, 0.5, 8],
      [0.9, 0.5, 40],
    ]);
    const decisions = decide(
      decider,
      Array.from({ length: 15 }, () => [0, 0.5, 40] as const),
      3,
    );
    assert.deepEqual(decisions, [...Array.from({ length: 14 }, () => 'none'), 'full']);
  });

  it('counts growth from the last full collection', () => {
    const decider = new CollectionDecider();
    decide(decider, [
      [0, 0.5, 8],
      [0.9, 0.5, 40],
      [0, 0.5, 40],
    ]);
    assert.deepEqual(decide(decider, [[0, 0.5, 40]]), ['full']);
    decider.collected(38 * mb);
    assert.deepEqual(
      decide(decider, [
        [0.9, 0.5, 39],
        [0, 0.5, 39],
        [0, 0.5, 39],
        [0, 0.5, 39],
      ]),
      ['none', 'none', 'none', 'none'],
    );
  });

  it('rests when nothing is left to do, until something happens', () => {
    const decider = new CollectionDecider();
    const quiet = Array.from({ length: 5 }, () => [0, 0.5, 8] as const);
    decide(decider, quiet, 3);
    assert.equal(decider.isResting, false, 'there may be something to do after a minute');
    decide(decider, quiet);
    assert.equal(decider.isResting, true);
    decide(decider, [[0.1, 0.5, 8]]);
    assert.equal(decider.isResting, false);
  });

  it('gives back what a burst left in the young generation', async () => {
    const young = (): number => getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_used_size ?? 0;
    let garbage: unknown[] = [];
    for (let round = 0; round < 400 || young() < 2 * mb; round++) garbage = Array.from({ length: 4_000 }, (_, index) => ({ round, index }));
    assert.equal(garbage.length, 4_000);
    garbage = [];
    const before = young();
    const memory = new IdleMemory(() => 0, 50);
    memory.start();
    try {
      const deadline = Date.now() + 30_000;
      while (young() > before / 2) {
        assert.ok(Date.now() < deadline, `${young()} octets are still in use, ${before} were`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    } finally {
      memory.stop();
    }
  });

  it('collects again when much has come together without a burst', () => {
    const decider = new CollectionDecider();
    let collections = 0;
    for (let mbInUse = 8; mbInUse < 11; mbInUse += 0.25) if (decide(decider, [[0.01, 0.5, mbInUse]])[0] === 'full') collections += 1;
    assert.equal(collections, 2);
  });

  it('collects the old generation, too', async () => {
    const old = (): number => getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')?.space_used_size ?? 0;
    let held: unknown[] = Array.from({ length: 200_000 }, (_, index) => ({ index, inside: [index] }));
    // What has lived through two collections is old.
    collectYoung();
    collectYoung();
    assert.equal(held.length, 200_000);
    const before = old();
    held = [];
    collectYoung();
    assert.ok(old() > before - mb, 'a small collection takes nothing of it');
    await collectAll();
    assert.ok(old() < before - 10 * mb, `${old()} octets are in use, ${before} were`);
  });
});

describe('A full collection after practice', () => {
  it('keeps code whose objects are gone, gives back the memory and says nothing', () => {
    const script = `
      import { collectAll } from ${JSON.stringify(import.meta.resolve('#service-kit/idle-memory.js'))};
      class Point { constructor(x) { this.x = x; this.y = x; } }
      const sum = (point) => point.x + point.y;
      const use = () => {
        %PrepareFunctionForOptimization(sum);
        sum(new Point(1));
        sum(new Point(2));
        %OptimizeFunctionOnNextCall(sum);
        sum(new Point(3));
        return new WeakRef(new Point(4));
      };
      const gone = use();
      await new Promise((resolve) => setTimeout(resolve, 1));
      await collectAll();
      const isOptimized = (%GetOptimizationStatus(sum) & 16) !== 0;
      console.log(JSON.stringify({ isOptimized, isGone: gone.deref() === undefined }));
    `;
    const { stdout, stderr } = spawnSync(process.execPath, ['--allow-natives-syntax', '--input-type=module', '--eval', script], {
      encoding: 'utf8',
    });
    assert.equal(stderr, '');
    assert.deepEqual(JSON.parse(stdout), { isOptimized: true, isGone: true });
  });
});
