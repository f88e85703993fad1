import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { ERROR_CODES, SseSessionError, describeError, show, stackOf } from '../../lib/errors.js';

const ROOT = process.cwd();

function documentedCodes(): string[] {
  const table = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8');
  return [...table.matchAll(/^\| `([A-Z_]+)` \| .+ \| .+ \|$/gm)].map(([, code]) => code as string);
}

/** The codes with which `SseSessionError`s are made, by the text of lib/. */
function codesInUse(): Set<string> {
  const files = readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const sources = files.map((file) => readFileSync(join(ROOT, 'lib', file), 'utf8'));
  return new Set(
    sources.flatMap((source) => [...source.matchAll(/new SseSessionError\(\s*'([A-Z_]+)'/g)].map(([, code]) => code as string)),
  );
}

describe('the codes of errors', () => {
  it('are the same in lib/errors.ts and in the table of docs/errors.md, in the same order', () => {
    expect(documentedCodes()).toEqual([...ERROR_CODES]);
  });

  it('are all in use', () => {
    expect([...codesInUse()].sort()).toEqual([...ERROR_CODES].sort());
  });
});

describe('SseSessionError', () => {
  it('is an Error with a name, a code, a message and a cause', () => {
    const cause = new Error('why');
    const error = new SseSessionError('INVALID_EVENT', 'No.', { cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'SseSessionError', code: 'INVALID_EVENT', message: 'No.', cause });
    expect(String(error)).toBe('SseSessionError: No.');
  });
});

describe('how a value is shown in a message', () => {
  class Row {}
  it.each([
    ['text', '"text"'],
    ['a\nb', '"a\\nb"'],
    ['x'.repeat(100), `"${'x'.repeat(60)}…"`],
    [5, '5'],
    [-0, '0'],
    [NaN, 'NaN'],
    [1n, '1'],
    [true, 'true'],
    [null, 'null'],
    [undefined, 'undefined'],
    [Symbol('x'), 'Symbol(x)'],
    [[1], 'an array'],
    [{}, 'an object'],
    [new Row(), 'an object (Row)'],
    [Object.create(null), 'an object'],
    [function named() {}, 'a function (named)'],
    [
      (
        () => () =>
          1
      )(),
      'a function',
    ],
  ])('%p', (value, shown) => {
    expect(show(value)).toBe(shown);
  });
});

describe('what was thrown', () => {
  it('is described, whatever it is', () => {
    expect(describeError(new Error('x'))).toBe('Error: x');
    expect(describeError('x')).toBe('x');
    expect(describeError(undefined)).toBe('undefined');
    expect(describeError(Object.create(null))).toBe('an object');
    expect(describeError(Symbol('x'))).toBe('Symbol(x)');
  });

  it('has a stack if it is an error', () => {
    const error = new Error('x');
    expect(stackOf(error)).toBe(error.stack);
    expect(stackOf('x')).toBeUndefined();
  });
});
