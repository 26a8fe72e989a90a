/**
 * How long a test waits for what must come, in ms. Only a defect makes it wait this long; a machine that does ten other things at once must not.
 *
 * Nothing may be concluded from how long a wait took.
 */
export const patienceMs = 60_000;
