import type { CommandSpec } from '../command.js';

const indexFiles = ['roost.index', 'roost.index.log', 'roost.cache', 'roost.keys'] as const;

export const dump: CommandSpec = {
  name: 'dump',
  summary: 'Show what is in the index files of a mailbox',
  arguments: [{ syntax: '<path>', doc: `a folder, or one of ${indexFiles.join(', ')} in it` }],
  format: 'flow',
  async run({ args, context, print }) {
    const [{ readFile, stat }, { basename, join }, { inspectFile }, { AdminError }, { errnoOf }] = await Promise.all([
      import('node:fs/promises'),
      import('node:path'),
      import('#storage/index/inspect.js'),
      import('../exit-codes.js'),
      import('#util/coded-error.js'),
    ]);
    const [path = ''] = args;
    let files: readonly string[];
    try {
      files = (await stat(path)).isDirectory() ? indexFiles.map((name) => join(path, name)) : [path];
    } catch (cause) {
      throw new AdminError('not-found', `Can't open ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    const printer = print([
      { key: 'file', hidesTitle: true },
      { key: 'part', hidesTitle: true },
      { key: 'at' },
      { key: 'values', hidesTitle: true },
    ]);
    let found = 0;
    for (const file of files) {
      let bytes: Buffer;
      try {
        bytes = await readFile(file);
      } catch (cause) {
        if (errnoOf(cause) === 'ENOENT' && files.length > 1) continue;
        throw new AdminError('temporary', `Can't read ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
      }
      const parts = inspectFile(basename(file), bytes);
      if (parts === undefined) throw new AdminError('usage', `${file} is none of ${indexFiles.join(', ')}`);
      found += 1;
      for (const { part, at, values } of parts) {
        context.signal.throwIfAborted();
        const shown = Object.entries(values).map(([key, value]) => `${key}=${value}`);
        await printer.row([basename(file), part, at, { shown: shown.join(' '), json: values }]);
      }
    }
    await printer.end();
    if (found === 0) throw new AdminError('not-found', `No index files in ${path}`);
  },
};
