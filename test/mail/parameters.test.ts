import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseContentType } from '#mail/content-fields.js';
import { findParameter, parameterText } from '#mail/parameters.js';

const parametersOf = (text: string): readonly (readonly [string, string])[] => parseContentType(`a/b; ${text}`)?.parameters ?? [];

describe('parameters', () => {
  const cases: readonly (readonly [text: string, expected: readonly (readonly [string, string])[]])[] = [
    ['name=x', [['name', 'x']]],
    ['NAME="a \\"b\\" ;c"', [['name', 'a "b" ;c']]],
    [
      'name=x; ; charset=y;',
      [
        ['name', 'x'],
        ['charset', 'y'],
      ],
    ],
    [
      'name (c) = (c) x (c); b=(c)y',
      [
        ['name', 'x'],
        ['b', 'y'],
      ],
    ],
    [
      'name=My File.pdf; size=3',
      [
        ['name', 'My File.pdf'],
        ['size', '3'],
      ],
    ],
    ['boundary=----=_Part_1.2:3', [['boundary', '----=_Part_1.2:3']]],
    [
      'charset=utf-8 format=flowed',
      [
        ['charset', 'utf-8'],
        ['format', 'flowed'],
      ],
    ],
    ['name*0=a; name*1="b c"; name*2=d', [['name', 'ab cd']]],
    [
      'name*1=b; x=y; name*0=a',
      [
        ['name', 'ab'],
        ['x', 'y'],
      ],
    ],
    ["name*=utf-8'de'%C3%A4", [['name*', "utf-8'de'%C3%A4"]]],
    ["name*0*=utf-8''%C3; name*1*=%A4", [['name*', "utf-8''%C3%A4"]]],
    ['name*0=a; name*0=b; name*1=c', [['name', 'ac']]],
    ['="x"; y=z', [['y', 'z']]],
    ['name="never closed; x=y', [['name', 'never closed; x=y']]],
  ];
  for (const [text, expected] of cases) it(`${text} are ${JSON.stringify(expected)}`, () => assert.deepEqual(parametersOf(text), expected));

  it('give octets and charset of an extended value, before a plain one of the same name', () => {
    const list = parametersOf("filename=plain; filename*=utf-8''%e2%82%ac%zz");
    assert.deepEqual(findParameter(list, 'filename'), { charset: 'utf-8', octets: Buffer.from('€%zz') });
    assert.equal(parameterText(list, 'filename'), '\xe2\x82\xac%zz');
    assert.equal(findParameter(list, 'name'), undefined);
  });
  it('stop after a thousand', () => {
    assert.equal(parametersOf('a=b; '.repeat(1000)).length, 1000);
    assert.equal(parametersOf('a=b; '.repeat(1001)).length, 1000);
  });
});
