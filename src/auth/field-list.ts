// `name=value name=value flag`: extra fields in passwd-file lines, args, default_fields and override_fields. A bare name means `yes`.

export type Field = readonly [name: string, value: string];

/** Splits at blanks; a value may be put in double quotes to hold blanks. */
export function parseFieldList(text: string): readonly Field[] {
  const fields: Field[] = [];
  for (const [, name = '', quoted, plain] of text.matchAll(/([^\s=]+)(?:=(?:"((?:[^"\\]|\\.)*)"(?=\s|$)|(\S*)))?/g)) {
    const value = quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1');
    fields.push([name, value ?? 'yes']);
  }
  return fields;
}

export const isYes = (value: string | undefined): boolean => value !== undefined && /^(?:yes|y|1|true|)$/i.test(value);
