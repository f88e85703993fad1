import { describe, expect, it } from '@jest/globals';
import { CLOSE_REASONS, type CloseReason } from '../../../lib/options/close-reasons.js';
import { type SessionState, afterConnectionEnd, canGo, hooksOf, isAbrupt, opensFirst } from '../../../lib/session/state.js';

const STATES: SessionState[] = ['connecting', 'open', 'closing', 'closed'];

describe('the states of a session', () => {
  it('go only forward', () => {
    const steps = STATES.flatMap((from) => STATES.filter((to) => canGo(from, to)).map((to) => `${from} -> ${to}`));
    expect(steps).toEqual(['connecting -> open', 'connecting -> closed', 'open -> closing', 'open -> closed', 'closing -> closed']);
  });
});

describe('the reasons of an end', () => {
  const table: Record<CloseReason, { hooks: string[]; abrupt: boolean; opens: boolean }> = {
    complete: { hooks: ['completion'], abrupt: false, opens: true },
    'client-disconnect': { hooks: ['completion'], abrupt: true, opens: false },
    timeout: { hooks: ['timeout', 'completion'], abrupt: false, opens: false },
    'idle-timeout': { hooks: ['timeout', 'completion'], abrupt: false, opens: false },
    error: { hooks: ['error', 'completion'], abrupt: false, opens: false },
    'slow-client': { hooks: ['error', 'completion'], abrupt: true, opens: false },
    'dead-peer': { hooks: ['error', 'completion'], abrupt: true, opens: false },
    evicted: { hooks: ['completion'], abrupt: false, opens: true },
    unauthorized: { hooks: ['completion'], abrupt: false, opens: false },
    cancelled: { hooks: ['completion'], abrupt: false, opens: true },
    shutdown: { hooks: ['completion'], abrupt: false, opens: false },
  };

  it('are those of the table', () => {
    expect([...CLOSE_REASONS].sort()).toEqual(Object.keys(table).sort());
  });

  it.each(Object.entries(table))('%s has its hooks, may cut, and may open a session that was connecting', (reason, row) => {
    const closeReason = reason as CloseReason;
    expect({ hooks: hooksOf(closeReason), abrupt: isAbrupt(closeReason), opens: opensFirst(closeReason) }).toEqual(row);
  });

  it('stand, but for complete when the client leaves, dies or stalls before it has everything', () => {
    for (const reason of CLOSE_REASONS) {
      expect(afterConnectionEnd(reason, 'finished')).toBe(reason);
      expect(afterConnectionEnd(reason, 'left')).toBe(reason === 'complete' ? 'client-disconnect' : reason);
      expect(afterConnectionEnd(reason, 'dead')).toBe(reason === 'complete' ? 'client-disconnect' : reason);
      expect(afterConnectionEnd(reason, 'crowded-out')).toBe(reason === 'complete' ? 'slow-client' : reason);
      expect(afterConnectionEnd(reason, 'stalled')).toBe(reason === 'complete' ? 'slow-client' : reason);
    }
  });
});
