import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deliveryText } from '#services/smtp/delivery-log.js';

const cases: readonly (readonly [format: string, text: string, asked: readonly string[]])[] = [
  ['msgid=%m: %$', 'msgid=<message-id>: saved', ['message-id']],
  ['%f|%s|%p|%w|%e', '<from>|<subject>|12|12|a@x', ['from', 'subject']],
  ['%m%m', '<message-id><message-id>', ['message-id', 'message-id']],
  ['100% of %x, %%$ %', '100% of %x, %saved %', []],
  ['', '', []],
];

describe('the text of a delivery log line', () => {
  for (const [format, text, asked] of cases) {
    it(`is made of ${JSON.stringify(format)}, and looks only for what that names`, () => {
      const names: string[] = [];
      const headers = {
        field(name: string): string {
          names.push(name);
          return `<${name}>`;
        },
      };
      assert.equal(deliveryText(format)({ headers, receivedBytes: 12, sender: 'a@x', result: 'saved' }), text);
      assert.deepEqual(names, asked);
    });
  }
});
