// Takes the place of role-loader.cjs in a training run (train.mjs): runs the role, and when it exits sends what V8 has compiled to the trainer.
'use strict';
const { readFileSync } = require('node:fs');
const { connect } = require('node:net');
const { basename, join } = require('node:path');
const { Script } = require('node:vm');

// The same options as in role-loader.cjs.
if (process.execArgv.some((option) => option.startsWith('--max-old-space-size='))) {
  require('node:v8').setFlagsFromString('--max-old-space-size=0');
}
const path = __filename.replace(/\.cjs$/, '.code.js');
const code = readFileSync(path);
const script = new Script(code.latin1Slice(), { filename: path });

// Over a socket: login roles may write no file.
const exit = process.exit.bind(process);
process.exit = (status) => {
  const octets = script.createCachedData();
  const socket = connect(join(__dirname, 'trainer'));
  const done = () => exit(status);
  socket.on('close', done);
  socket.on('error', done);
  socket.end(Buffer.concat([Buffer.from(`${basename(path, '.code.js')}\n`), octets]));
};
script.runInThisContext()(exports, require, module, path, __dirname);
