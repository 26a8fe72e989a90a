// `node code-cache.cjs CODE CACHE`, started by the build with descriptor 3 as a pipe: runs a role until it waits for its master, and keeps what
// V8 has compiled up to there.
'use strict';
const { readFileSync, renameSync, writeFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { dirname } = require('node:path');
const { Script } = require('node:vm');

const [path, cachePath] = process.argv.slice(2);
const code = readFileSync(path);
// The same options as in role-loader.cjs.
const script = new Script(code.latin1Slice(), {
  filename: path,
});
script.runInThisContext()({}, createRequire(path), { exports: {} }, path, dirname(path));
setTimeout(() => {
  const temporary = `${cachePath}.${process.pid}.tmp`;
  writeFileSync(temporary, Buffer.concat([code.subarray(0, 48), script.createCachedData()]));
  renameSync(temporary, cachePath);
  process.reallyExit(0);
}, 20);
