// SELECT and EXAMINE (RFC 9051 6.3.2, RFC 7162 CONDSTORE and QRESYNC parameters).
import type { CommandReader, SequenceSet } from '../reader.js';

export interface QresyncParameters {
  readonly uidValidity: number;
  readonly modSeq: number;
  readonly knownUids: SequenceSet | undefined;
  /** Pairwise: message `sequences[i]` had UID `uids[i]`. */
  readonly sequenceMatch: { readonly sequences: SequenceSet; readonly uids: SequenceSet } | undefined;
}

export interface SelectCommand {
  readonly mailbox: string;
  readonly condstore: boolean;
  readonly qresync: QresyncParameters | undefined;
}

export function parseSelect(reader: CommandReader): SelectCommand {
  reader.space();
  const mailbox = reader.mailbox();
  let condstore = false;
  let qresync: QresyncParameters | undefined;
  if (reader.trySpace()) {
    reader.list(() => {
      const name = reader.word('select parameter');
      if (name === 'CONDSTORE') condstore = true;
      else if (name === 'QRESYNC') {
        reader.space();
        qresync = parseQresync(reader);
      } else reader.fail(`Unknown SELECT parameter ${name}`);
    });
  }
  reader.end();
  return { mailbox, condstore, qresync };
}

/** No `$`: what is saved belongs to the mailbox that this command closes. */
function numbers(reader: CommandReader): SequenceSet {
  const set = reader.sequenceSet();
  return set.kind === 'saved' ? reader.fail('Invalid QRESYNC set') : set;
}

function parseQresync(reader: CommandReader): QresyncParameters {
  reader.char('(');
  const uidValidity = reader.nonZeroNumber();
  reader.space();
  const modSeq = reader.modSeq();
  if (modSeq === 0) reader.fail('Invalid QRESYNC modseq');
  let knownUids: SequenceSet | undefined;
  let sequenceMatch: QresyncParameters['sequenceMatch'];
  if (reader.trySpace() && !reader.isAtList) {
    knownUids = numbers(reader);
    reader.trySpace();
  }
  if (reader.tryChar('(')) {
    const sequences = numbers(reader);
    reader.space();
    const uids = numbers(reader);
    reader.char(')');
    sequenceMatch = { sequences, uids };
  }
  reader.char(')');
  return { uidValidity, modSeq, knownUids, sequenceMatch };
}
