// What each dist/roles/NAME.cjs is: loads NAME.code.js, with the compiled code that the build left beside it where this Node can use it.
// A strict pool starts two processes for each connection, and compiling would be most of their start.
'use strict';
const { readFileSync } = require('node:fs');
const { Script } = require('node:vm');

/** First line of the code, which is a function of ASCII: a comment with its hash. The cache begins with the same octets. */
const markBytes = 48;

// V8 takes no compiled code, of Node's own modules neither, under options other than those it was made with. These have done their work when the
// heap was made at the start of the process, so they are taken back; keeping them would cost 20 ms here.
for (const option of process.execArgv) {
  if (/^--(max-old-space-size|min-semi-space-size)=/.test(option)) require('node:v8').setFlagsFromString(`${option.split('=')[0]}=0`);
}

const path = __filename.replace(/\.cjs$/, '.code.js');
const code = readFileSync(path);
const script = new Script(code.latin1Slice(), {
  filename: path,
  cachedData: readCache(),
});
script.runInThisContext()(exports, require, module, path, __dirname);

/** Undefined when there is none for this code. V8 itself checks that it was made by this version, but not for which text. */
function readCache() {
  try {
    const cache = readFileSync(path.replace(/\.js$/, '.cache'));
    return cache.subarray(0, markBytes).equals(code.subarray(0, markBytes)) ? cache.subarray(markBytes) : undefined;
  } catch {
    return undefined;
  }
}
