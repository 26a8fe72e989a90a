// docs/settings.md: the reference of all settings, made from their declarations.
import type { SettingDefinition, SettingsGroup } from '#config/define.js';
import { formatValue } from '#config/print.js';
import { sectionSchemas } from '#config/section-schema.js';
import { stockServices } from '#config/stock-services.js';
import { settingsGroups } from '#services/registry.js';

const escapeCell = (text: string): string => text.replace(/\|/g, '\\|');
const code = (text: string): string => (text === '' ? '' : `\`${escapeCell(text)}\``);

function typeText(definition: SettingDefinition): string {
  if (definition.type === 'enum') return (definition.choices ?? []).map((choice) => (choice === '' ? 'empty' : choice)).join(', ');
  return definition.unlimited === true ? `${definition.type} or unlimited` : definition.type;
}

function settingRows(settings: Readonly<Record<string, SettingDefinition>>): string {
  const rows = Object.entries(settings)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, definition]) => {
      const shown =
        definition.type === 'size' && definition.defaultText.startsWith('18446744073709551615') ? '' : formatValue(definition.defaultText);
      const doc = /[.!?]$/.test(definition.doc) ? definition.doc : `${definition.doc}.`;
      return `| \`${key}\` | ${escapeCell(typeText(definition))} | ${code(shown)} | ${escapeCell(doc)} |`;
    });
  return ['| Setting | Type | Default | Meaning |', '|---|---|---|---|', ...rows].join('\n');
}

function groupText(group: SettingsGroup): string {
  return `### ${group.name}\n\n${settingRows(group.settings)}\n`;
}

function stockServiceRows(): string {
  const rows = stockServices.map(({ name, values, listeners }) => {
    const sockets = listeners.map((listener) =>
      listener.kind === 'inet_listener' ? `${listener.name} ${listener.values['port']}` : listener.name,
    );
    const limits = ['process_limit', 'client_limit', 'service_count', 'process_min_avail'].map((key) => values[key] ?? '');
    return `| \`${name}\` | ${limits.join(' | ')} | ${values['user'] ?? ''} | ${sockets.join(', ')} |`;
  });
  return [
    '| Service | process_limit | client_limit | service_count | process_min_avail | user | Listeners |',
    '|---|---|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

export function settingsDocument(): string {
  const parts = [
    '# Settings\n',
    'Made by `roost --settings-doc` from the declarations in the source; do not edit. Names and values are those of Dovecot 2.3.\n',
    'Types: boolean is `yes` or `no`; time is a number with a unit (`msecs`, `secs`, `mins`, `hours`, `days`, `weeks`); size is octets or a number with `K`, `M`, `G`, `T`; ' +
      'list is words separated by blanks or commas; octal is an access mode such as `0660`. `unlimited` and `0` mean no limit where the type says so.\n',
    '## Global settings\n',
    'They may also stand in `protocol`, `local`, `local_name` and `remote` blocks; the most specific block that matches wins.\n',
    ...settingsGroups.map(groupText),
    '## Blocks\n',
    ...[...sectionSchemas.values()].map((schema) => {
      const head = `### ${schema.kind}${schema.needsName === true ? ' NAME' : ''}\n\n${schema.doc}\n`;
      return schema.settings === undefined ? head : `${head}\n${settingRows(schema.settings)}\n`;
    }),
    '## Services without configuration\n',
    'Empty: the `default_` setting, or none.\n',
    `${stockServiceRows()}\n`,
  ];
  return parts.join('\n');
}
