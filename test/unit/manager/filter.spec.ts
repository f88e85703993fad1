import { describe, expect, it } from '@jest/globals';
import { type SessionFilter, matcher } from '../../../lib/manager/filter.js';
import type { ManagedSession } from '../../../lib/session/managed-session.js';

const SESSION = { principal: 'ann', key: 'k1', route: 'GET /a', state: 'open' } as ManagedSession;
const NOBODYS = { principal: undefined, key: undefined, route: 'GET /a', state: 'open' } as ManagedSession;

describe('a session filter', () => {
  it.each<[SessionFilter, boolean]>([
    [{ principal: 'ann' }, true],
    [{ principal: 'bob' }, false],
    [{ key: 'k1' }, true],
    [{ key: 'k2' }, false],
    [{ route: 'GET /a' }, true],
    [{ state: 'closing' }, false],
    [{ principal: 'ann', key: 'k1', route: 'GET /a', state: 'open' }, true],
    [{ principal: 'ann', key: 'k2' }, false],
  ])('matches a session with every key that is given: %p', (filter, matches) => {
    expect(matcher(filter)(SESSION)).toBe(matches);
  });

  it('does not match nobody by an empty name', () => {
    expect(matcher({ principal: '' })(NOBODYS)).toBe(false);
    expect(matcher({ principal: 'undefined' })(NOBODYS)).toBe(false);
  });

  it.each([
    ['is empty', {}, /is empty/],
    ['has a key whose value is undefined', { principal: undefined }, /has undefined as its principal/],
    ['has one such key beside a good one', { principal: 'ann', key: undefined }, /has undefined as its key/],
    ['has a key whose value is null', { key: null }, /has null as its key/],
    ['has a number', { principal: 5 }, /has 5 as its principal/],
    ['has an unknown key', { user: 'ann' }, /has the unknown key "user"/],
    ['is an array', [], /is empty/],
    ['is null', null, /is null/],
    ['is a string', 'ann', /is "ann"/],
  ])('is refused when it %s', (_, filter, message) => {
    expect(() => matcher(filter as SessionFilter)).toThrow(
      expect.objectContaining({ code: 'INVALID_FILTER', message: expect.stringMatching(message) as unknown }),
    );
  });
});
