import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { SecretSearch, type TrafficSecrets } from '#service-kit/openssl-secrets.js';

const secretsOf = (): TrafficSecrets => ({ client: randomBytes(48), server: randomBytes(48) });

/** An object that holds each secret where it says. */
function objectWith(secrets: TrafficSecrets, clientAt: readonly number[], serverAt: readonly number[]): Buffer {
  const object = Buffer.alloc(4_096);
  for (const at of clientAt) secrets.client.copy(object, at);
  for (const at of serverAt) secrets.server.copy(object, at);
  return object;
}

function lookAt(places: readonly (readonly [readonly number[], readonly number[]])[]): SecretSearch {
  const search = new SecretSearch();
  for (const [client, server] of places) {
    const secrets = secretsOf();
    search.look(objectWith(secrets, client, server), secrets);
  }
  return search;
}

describe('The search for traffic secrets', () => {
  const usual = [[1_000], [2_000]] as const;

  it('believes three objects that have them at the same place', () => {
    assert.equal(lookAt([usual, usual]).found, undefined);
    const search = lookAt([usual, usual, usual]);
    assert.deepEqual(search.found, { client: 1_000, server: 2_000 });
    assert.ok(search.isOver);
  });

  it('believes none of them when one is elsewhere', () => {
    const elsewhere = [[1_000], [2_048]] as const;
    assert.equal(lookAt([usual, usual, elsewhere, usual, usual]).found, undefined);
    assert.deepEqual(lookAt([usual, usual, elsewhere, usual, usual, usual]).found, { client: 1_000, server: 2_000 });
  });

  it('believes no place of which there are two', () => {
    const twice = [[1_000, 3_000], [2_000]] as const;
    assert.equal(lookAt([usual, usual, twice, usual, usual]).found, undefined);
  });

  it('is given up after twelve objects', () => {
    const missing = [[], [2_000]] as const;
    const search = lookAt(Array.from({ length: 12 }, () => missing));
    assert.ok(search.isOver);
    assert.equal(search.found, undefined);
    const secrets = secretsOf();
    for (let turn = 0; turn < 3; turn += 1) search.look(objectWith(secrets, [1_000], [2_000]), secrets);
    assert.equal(search.found, undefined);
  });
});
