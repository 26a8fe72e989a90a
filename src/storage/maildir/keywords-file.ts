// dovecot-keywords: `<index> <keyword>` lines; index 0 to 25 is the letter a to z in file names. Larger indexes exist in old files and mean
// nothing here. Written under the uidlist lock; its mtime must grow with every change, as Dovecot compares whole seconds.

export const letterCount = 26;

/** Keyword of each letter, '' for a free one. Broken lines are skipped. */
export function parseKeywordsFile(text: string): string[] {
  const letters: string[] = [];
  for (const line of text.split('\n')) {
    const match = /^(\d{1,4}) ([^\s(){%*"\\\]]+)\r?$/.exec(line);
    if (match === null) continue;
    const index = Number(match[1]);
    if (index >= letterCount) continue;
    while (letters.length <= index) letters.push('');
    letters[index] = match[2] ?? '';
  }
  return letters;
}

export function formatKeywordsFile(letters: readonly string[]): string {
  return letters.map((keyword, index) => (keyword === '' ? '' : `${index} ${keyword}\n`)).join('');
}

/** Gives a free letter to each keyword that has none, as far as there are letters. */
export function assignLetters(letters: readonly string[], keywords: readonly string[]): string[] {
  const assigned = [...letters];
  const has = new Set(letters.map((keyword) => keyword.toLowerCase()));
  for (const keyword of keywords) {
    if (has.has(keyword.toLowerCase())) continue;
    let index = assigned.indexOf('');
    if (index < 0) index = assigned.length;
    if (index >= letterCount) break;
    assigned[index] = keyword;
    has.add(keyword.toLowerCase());
  }
  return assigned;
}
