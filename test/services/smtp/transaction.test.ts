import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Recipient, UserOpener } from '#delivery/deliver.js';
import { RecipientDelivery } from '#delivery/deliver.js';
import { MessageIntake } from '#services/smtp/transaction.js';
import { DeliveryWorld } from '../../support/delivery-world.js';

const never = new AbortController().signal;
const options = { service: 'lmtp', expectedBytes: undefined, autocreate: false, autosubscribe: false };
const recipient: Recipient = { user: { user: 'anna', fields: {} }, address: 'anna@localhost', mailbox: 'INBOX' };

interface Doors {
  readonly opener: UserOpener;
  /** Lets in who waits for a user. */
  readonly open: () => void;
  opened: number;
  closed: number;
}

/** Users that take their time to be opened. */
async function slowDoors(): Promise<{ readonly doors: Doors; readonly world: DeliveryWorld }> {
  const world = new DeliveryWorld();
  await world.addUser('anna');
  let open: () => void = () => undefined;
  const isOpen = new Promise<void>((resolve) => {
    open = resolve;
  });
  const doors: Doors = {
    opened: 0,
    closed: 0,
    open,
    opener: {
      async openUser(fields) {
        await isOpen;
        doors.opened += 1;
        const user = await world.store.openUser(fields);
        return Object.assign(user, {
          [Symbol.asyncDispose]: async () => {
            doors.closed += 1;
          },
        });
      },
    },
  };
  return { doors, world };
}

describe('a message that is taken while mailboxes are being opened', () => {
  it('waits for them with its octets only', async () => {
    const { doors, world } = await slowDoors();
    const intake = new MessageIntake([new RecipientDelivery(recipient)], 1_000);
    intake.begin(doors.opener, options, () => 'X-Added: yes\r\n', never);
    assert.equal(intake.write(Buffer.from('Subject: a\r\n\r\nb\r\n')), undefined);
    const finished = intake.finish(false);
    doors.open();
    assert.deepEqual(await finished, { kind: 'complete' });
    const [delivered] = await intake.commitEach(never);
    assert.equal(delivered?.outcome.kind, 'saved');
    assert.deepEqual(await world.messages('anna'), ['X-Added: yes\r\nSubject: a\r\n\r\nb\r\n']);
    assert.equal(doors.closed, 1);
  });

  it('leaves none open when it is given up, those included whose turn had not come', async () => {
    const { doors, world } = await slowDoors();
    const deliveries = Array.from({ length: 40 }, () => new RecipientDelivery(recipient));
    const intake = new MessageIntake(deliveries, 1_000);
    intake.begin(doors.opener, options, () => '', never);
    const aborted = intake.abort();
    doors.open();
    await aborted;
    assert.equal(doors.opened, 40);
    assert.equal(doors.closed, 40);
    assert.deepEqual(await world.messages('anna'), []);
  });

  it('is given up for one recipient in the same way', async () => {
    const { doors } = await slowDoors();
    const delivery = new RecipientDelivery(recipient);
    void delivery.begin(doors.opener, options, never);
    const aborted = delivery.abort();
    doors.open();
    await aborted;
    assert.equal(doors.closed, 1);
  });
});
