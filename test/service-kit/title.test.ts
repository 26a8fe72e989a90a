import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { titleState } from '#service-kit/title.js';

describe('process title', () => {
  for (const [own, clients, preAuth, relays, expected] of [
    ['', 0, 0, 0, '[idling]'],
    ['anna 192.0.2.1 IDLE', 1, 0, 0, '[anna 192.0.2.1 IDLE]'],
    ['', 1, 0, 0, '[1 connection]'],
    ['anna 192.0.2.1 IDLE', 3, 0, 0, '[3 connections]'],
    ['', 3, 3, 0, '[3 pre-login]'],
    ['', 4, 3, 1, '[3 pre-login + 1 TLS proxy]'],
    ['', 9, 3, 5, '[3 pre-login + 5 TLS proxies + 1 connection]'],
  ] as const) {
    it(`is ${expected} for ${clients} clients, ${preAuth} before login, ${relays} relayed`, () => {
      assert.equal(titleState({ own, clients, preAuth, relays }), expected);
    });
  }
});
