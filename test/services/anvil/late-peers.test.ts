import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LatePeers } from '#services/anvil/late-peers.js';

class Peer {
  readonly asked: number[] = [];
  askForAll(question: number): void {
    this.asked.push(question);
  }
}

/** Longer than any test waits. */
const longMs = 600_000;

function world(waitMs = longMs) {
  const peers = [new Peer(), new Peer()] as const;
  const late = new LatePeers<Peer>(waitMs);
  return { late, peers };
}

describe('processes that tell of their sessions later', () => {
  it('are not asked where there are none', () => {
    assert.equal(world().late.ask(), undefined);
  });

  it('are waited for, all of them, each question by itself', async () => {
    const { late, peers } = world();
    for (const peer of peers) late.add(peer);
    const over: string[] = [];
    const first = late.ask()?.then(() => over.push('first'));
    const second = late.ask()?.then(() => over.push('second'));
    assert.deepEqual(
      peers.map(({ asked }) => asked),
      [
        [1, 2],
        [1, 2],
      ],
    );
    late.told(peers[0], 2);
    late.told(peers[0], 2);
    late.told(peers[0], 1);
    late.told(peers[1], 77);
    await Promise.resolve();
    assert.deepEqual(over, []);
    late.told(peers[1], 2);
    await second;
    assert.deepEqual(over, ['second']);
    late.told(peers[1], 1);
    await first;
    assert.deepEqual(over, ['second', 'first']);
  });

  it('are not waited for when they are gone', async () => {
    const { late, peers } = world();
    for (const peer of peers) late.add(peer);
    const asked = late.ask();
    late.told(peers[1], 1);
    late.forget(peers[0]);
    await asked;
    late.forget(peers[1]);
    assert.equal(late.ask(), undefined);
  });

  it('are not waited for longer than their time', async () => {
    const { late, peers } = world(1);
    late.add(peers[0]);
    await late.ask();
    assert.deepEqual(peers[0].asked, [1]);
  });
});
