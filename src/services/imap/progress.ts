// Signs of life from commands that take long (RFC 9585).
import { encodeString } from '#protocol/imap/encoder.js';
import type { CommandCall } from './command-spec.js';
import type { Session } from './session.js';
import type { Progress } from './work-progress.js';

const defaultIntervalMs = 10_000;

/** RFC 9585 4: a tag that holds `]` would end the code, a goal is larger than what is done, and means nothing without that. */
function details(tag: string, { done, goal }: Progress): string {
  const isGoalKnown = done !== undefined && goal !== undefined && goal > done;
  return `${tag.includes(']') ? 'NIL' : encodeString(tag)} ${done ?? 'NIL'} ${isGoalKnown ? goal : 'NIL'}`;
}

/** Runs work that writes nothing itself, and tells the client now and then that it goes on. */
export async function withProgress<Result>(
  session: Session,
  { tag }: CommandCall,
  work: (progress: Progress) => Promise<Result>,
  intervalMs = defaultIntervalMs,
): Promise<Result> {
  const progress: Progress = { done: undefined, goal: undefined };
  const timer = setInterval(() => {
    if (session.isGone || session.output.isFull || session.input.isAnsweringBeside) return;
    session.text(`* OK [INPROGRESS (${details(tag, progress)})] Still working.\r\n`);
    session.output.flush();
  }, intervalMs);
  try {
    return await work(progress);
  } finally {
    clearInterval(timer);
  }
}
