// Does what the command line of `roost` says, except running the server itself.
import { hostname } from 'node:os';
import { version } from '#config/version.js';
import { explainLimits } from './explain-limits.js';
import { parseServerOptions, usageText } from './options.js';
import { badConfigExitCode, type Output, printConfig } from './print-config.js';
import { settingsDocument } from './settings-doc.js';

/** What the master offers; loaded only when needed, since printing settings needs none of it. */
export interface MasterCommands {
  runMaster(options: {
    readonly configFile: string;
    readonly foreground: boolean;
    /** `npm start`; with it `configFile` is '' when none was named. */
    readonly dev?: boolean;
  }): Promise<number>;
  controlMaster(configFile: string, action: 'reload' | 'stop'): Promise<number>;
}

/** @returns exit code */
export async function runServerCommand(
  argv: readonly string[],
  output: Output,
  loadMaster: () => Promise<MasterCommands>,
): Promise<number> {
  const command = parseServerOptions(argv);
  switch (command.kind) {
    case 'run':
      return (await loadMaster()).runMaster({ configFile: command.configFile, foreground: command.foreground });
    case 'dev':
      return (await loadMaster()).runMaster({ configFile: command.configFile ?? '', foreground: true, dev: true });
    case 'control':
      return (await loadMaster()).controlMaster(command.configFile, command.action);
    case 'print':
      return printConfig(command, output);
    case 'explain-limits':
      return explainLimits(command.configFile, output);
    case 'settings-doc':
      output.out(settingsDocument());
      return 0;
    case 'text':
      output.out(plainText(command.what));
      return 0;
    case 'usage':
      output.error(`roost: Fatal: ${command.message}\n${usageText}`);
      return badConfigExitCode;
  }
}

function plainText(what: 'version' | 'hostdomain' | 'build-options' | 'help'): string {
  switch (what) {
    case 'version':
      return `${version}\n`;
    case 'hostdomain':
      return `${hostname()}\n`;
    case 'build-options':
      return `Build options: node=${process.versions.node} openssl=${process.versions.openssl} uv=${process.versions.uv}\nMail storages: maildir\n`;
    case 'help':
      return usageText;
  }
}
