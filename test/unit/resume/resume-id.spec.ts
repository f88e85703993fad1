import { describe, expect, it } from '@jest/globals';
import { END, parseResumeId, resumeToken } from '../../../lib/resume/resume-id.js';

const TOKEN = 'abcdefghijklmnopqrst-_';

describe('a resume token', () => {
  it('is 22 characters of base64url, and never the same', () => {
    const tokens = Array.from({ length: 1_000 }, resumeToken);
    expect(tokens.every((token) => /^[A-Za-z0-9_-]{22}$/.test(token))).toBe(true);
    expect(new Set(tokens).size).toBe(1_000);
  });
});

describe('a resume id', () => {
  it.each<[string, number | typeof END]>([
    ['0', 0],
    ['1', 1],
    ['20000', 20_000],
    [String(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER],
    ['end', END],
  ])('is read with the position %s', (text, position) => {
    expect(parseResumeId(`${TOKEN}:${text}`)).toEqual({ token: TOKEN, position });
  });

  it('is read back for every token', () => {
    for (let n = 0; n < 100; n++) {
      const token = resumeToken();
      expect(parseResumeId(`${token}:${n}`)).toEqual({ token, position: n });
    }
  });

  it.each([
    '',
    ':',
    '1',
    TOKEN,
    `${TOKEN}:`,
    `${TOKEN}:01`,
    `${TOKEN}:00`,
    `${TOKEN}:-1`,
    `${TOKEN}:+1`,
    `${TOKEN}:1.0`,
    `${TOKEN}:1e3`,
    `${TOKEN}:0x1`,
    `${TOKEN}: 1`,
    `${TOKEN}:1 `,
    ` ${TOKEN}:1`,
    `${TOKEN}:1\n`,
    `${TOKEN}:1\0`,
    `${TOKEN}:1:1`,
    `${TOKEN}:END`,
    `${TOKEN}:ending`,
    `${TOKEN}:9007199254740992`,
    `${TOKEN}:9999999999999999`,
    `${TOKEN}:99999999999999999999`,
    `${TOKEN}:١`,
    `${TOKEN.slice(1)}:1`,
    `${TOKEN}a:1`,
    `${TOKEN.slice(1)}é:1`,
    `${TOKEN.slice(1)}=:1`,
    `${TOKEN}:1, ${TOKEN}:1`,
    `"${TOKEN}:1"`,
    'x'.repeat(100_000),
  ])('is not %j', (text) => {
    expect(parseResumeId(text)).toBeUndefined();
  });
});
