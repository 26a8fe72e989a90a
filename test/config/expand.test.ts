import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compileTemplate, expandOnce } from '#config/expand.js';

const values: Readonly<Record<string, string>> = {
  u: 'John.Doe@Example.ORG',
  user: 'John.Doe@Example.ORG',
  n: 'John.Doe',
  username: 'John.Doe',
  d: 'Example.ORG',
  domain: 'Example.ORG',
  v: '1719900000',
  x: '42',
  num: '42',
  quoted: 'a"b\'c\\d ',
  session: '12ab',
  $: 'msg',
  'passdb:f': 'field',
};
const lookup = (name: string): string | undefined => (Object.hasOwn(values, name) ? values[name] : undefined);

/** Results of Dovecot 2.3.19's own library for the same values. */
const table: readonly (readonly [template: string, expected: string])[] = [
  ['%u %n %d %{user} %% x', 'John.Doe@Example.ORG John.Doe Example.ORG John.Doe@Example.ORG % x'],
  ['%Lu %Uu', 'john.doe@example.org JOHN.DOE@EXAMPLE.ORG'],
  ['%Mu', '8e4e58f27c66356fbf6b01bac96b5c10'],
  ['%Ru', 'GRO.elpmaxE@eoD.nhoJ'],
  ['%Hu %Nu %256Nu %2.256Nu %256Hu %2.256Hu %4.16Hu', 'b9c0c67 7c66356f 6f 6f 67 67 0007'],
  ['%Xv %08Xv %Dd %T{quoted}| %E{quoted}| %Xn', '66839760 66839760 Example,dc=ORG a"b\'c\\d| a\\"b\\\'c\\\\d | 0'],
  ['%1u %2.3u %-3u %-3.2u %0.3u %3.0u', 'J hn. Joh OR Joh n.Doe@Example.ORG'],
  ['%05x %2.-3u %-2u| %020u| %5.020u|', '00042 hn.Doe@Example. Jo| John.Doe@Example.ORG| 00000Doe@Example.ORG|'],
  ['%1Mu %2.2Mu %LRu %MLu %RLu', '8 4e gro.elpmaxe@eod.nhoj 8e4e58f27c66356fbf6b01bac96b5c10 gro.elpmaxe@eod.nhoj'],
  ['%0x %03x %1x %.3u %3.u %-05x', '42 042 4 Joh n.Doe@Example.ORG 00042'],
  ['%{nope} %k %{userdb:x}', 'UNSUPPORTED_VARIABLE_nope UNSUPPORTED_VARIABLE_k UNSUPPORTED_VARIABLE_userdb'],
  ['%{if;%u;eq;x;yes;no} %{if;%d;ne;;%d;none} %{if;%{num};>;5;big;small} %{if;%{num};==;42;a;b}', 'no Example.ORG big a'],
  ['%{if;%n;*;J*e;m;n} %{if;%n;!*;J*e;m;n} %{if;%n;~;^J.*e$;m;n} %{if;%n;!~;^J.*e$;m;n}', 'm n m n'],
  ['%{if;a;lt;b;y;n} %{if;a;ge;b;y;n} %{if;a;gt;b;y;n} %{if;a;le;b;y;n}', 'y n n y'],
  ['%{if;a\\;b;eq;a\\;b;y;n} %{if;%{if;a;eq;a;x;y};eq;x;inner;outer}', 'y inner'],
  ['%{if;a;eq;a;%{user};%n}', 'John.Doe@Example.ORG'],
  ['%{if;5;<=;5;y;n} %{if;5;!=;4;y;n} %{if;5;eq;6;y}', 'y y '],
  ['%{if;a;eq;a;%%;n} %{if;a;eq;a;x\\:y;n} %{if;a;eq;a;{x};n}', '% x:y {x}'],
  ['%{sha1:user} %{md5:user}', '46e0983799942439d0a21e5fed3e6c9da2180e61 8e4e58f27c66356fbf6b01bac96b5c10'],
  ['%{sha256;rounds=2:user}', 'cac120d394e5b651c5416e3722d8da69533cd18f89b13ecd08bcf1faf37d1cd3'],
  ['%{sha256;salt=abc:user}', '02cccc4120426e29eaf8ce72291a1ce787fdc43d7273587af1793bb767c9a150'],
  ['%{sha256;rounds=3,salt=abc:user}', 'b819165ccf6d51872b8248b53c4615db6d3b2d77cd86dec33289898cbe66cfc7'],
  ['%{sha256;salt=abc,rounds=2:user}', '02cccc4120426e29eaf8ce72291a1ce787fdc43d7273587af1793bb767c9a150'],
  ['%{sha256;truncate=12:user} %{sha1;truncate=16:user} %{sha512;truncate=32:user}', '0b07 46e0 be6cd68c'],
  ['%{sha256;truncate=10:user} %{sha256;truncate=9:user} %{sha256;truncate=7:user}', '02c1 0160 58'],
  [
    '%{sha1;format=base64:user} %{sha3-256:user}',
    'RuCYN5mUJDnQoh5f7T5snaIYDmE= 1eaf72e149d9e54cc03e613aab886d65126e52eecadb00f2f74af06d6bdb81b1',
  ],
  ['abc % def %', 'abc UNSUPPORTED_VARIABLE_ def '],
  ['%{unclosed', 'UNSUPPORTED_VARIABLE_{unclosed'],
  ['%$: %{session}', 'msg: 12ab'],
  ['%5.3{user} %L{user} %2N{user} %U{if;a;eq;a;b;c} %1{sha1:user}', 'Doe john.doe@example.org 1 B 4'],
  ['%L%u', '%u'],
  ['%{passdb:f}', 'field'],
];

describe('% variables', () => {
  for (const [template, expected] of table) {
    it(`expand ${template}`, () => {
      assert.equal(expandOnce(template, lookup), expected);
    });
  }

  it('know the process and its environment', () => {
    process.env['ROOST_TEST_VARIABLE'] = 'from outside';
    assert.equal(
      expandOnce('%{env:ROOST_TEST_VARIABLE} %{pid} %{uid}', () => undefined),
      `from outside ${process.pid} ${process.getuid?.()}`,
    );
  });

  it('tell which names a template needs', () => {
    const template = compileTemplate('%Lu %{if;%d;eq;%{sha1:n};%{userdb:a};} %%x');
    assert.deepEqual([...template.names].sort(), ['d', 'n', 'u', 'userdb:a']);
    assert.equal(compileTemplate('no % percent'.replace(' % ', ' %% ')).isConstant, true);
  });

  it('report names without a value', () => {
    const unknown: string[] = [];
    compileTemplate('%{nope} %{if;%k;eq;a;%z;b}').expand(lookup, (name) => unknown.push(name));
    assert.deepEqual(unknown, ['nope', 'k']);
  });

  const wrong: readonly (readonly [template: string, expected: RegExp])[] = [
    ['%{if;a;zz;a;b;c}', /Unsupported comparator 'zz'/],
    ['%{if;a;eq}', /requires four or five parameters, got 2/],
    ['%{sha1;rounds=0:user}', /rounds must be at least 1/],
    ['%{sha1;format=foo:user}', /'foo' is not supported format/],
    ['%{user', /Missing \}/],
  ];
  for (const [template, expected] of wrong) {
    it(`say what is wrong with ${template}`, () => {
      assert.match(compileTemplate(template).problems.join(), expected);
    });
  }

  it('never throw, and an expression without % stays as it is', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('%', '{', '}', ';', ':', 'i', 'f', 'L', 'N', '0', '9', '-', '.', '\\', 'u', '~', '*', '(') }),
        (text) => {
          const result = expandOnce(text, lookup);
          if (!text.includes('%')) assert.equal(result, text);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
