import type { CommandSpec } from '../command.js';
import { authOptions, testLogin } from './auth-test.js';

export const authLogin: CommandSpec = {
  name: 'auth login',
  summary: 'Log in as a client would: passdb, then userdb',
  arguments: [
    { syntax: '<user>', doc: 'user name' },
    { syntax: '[password]', doc: 'asked for when left out' },
  ],
  options: [...authOptions, { flags: '-M, --master-user <user>', doc: 'log in as this master user; the password is theirs' }],
  format: 'flow',
  run: (call) => testLogin(call, true),
};
