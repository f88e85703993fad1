import { describe, expect, it, jest } from '@jest/globals';
import { HookRunner } from '../../../lib/session/hooks.js';
import type { SseSession } from '../../../lib/session/sse-session.js';
import { MemoryLogger, turns } from '../../support/memory-session.js';

const SESSION = { id: 'id-1', route: 'GET /a' } as SseSession;

function createRunner() {
  const logger = new MemoryLogger();
  const time = { now: 0 };
  return { logger, time, runner: new HookRunner(logger, () => time.now) };
}

describe('HookRunner', () => {
  it('logs a hook that throws, with its kind, session and route', () => {
    const { runner, logger } = createRunner();
    runner.run('timeout', SESSION, () => {
      throw new Error('no');
    });
    expect(logger.errors).toEqual(['The timeout hook of session id-1 (GET /a) threw: Error: no']);
  });

  it('logs a hook that rejects', async () => {
    const { runner, logger } = createRunner();
    runner.run('error', SESSION, () => Promise.reject(new Error('no')));
    await runner.idle();
    expect(logger.errors).toEqual(['The error hook of session id-1 (GET /a) rejected: Error: no']);
  });

  it.each<[string, () => unknown]>([
    ['an object without a prototype', () => Object.create(null) as unknown],
    ['a symbol', () => Symbol('x')],
    ['undefined', () => undefined],
    [
      'an object whose toString throws',
      () => ({
        toString: () => {
          throw new Error('twice');
        },
      }),
    ],
  ])('bears a hook that throws or rejects with %s', async (_, thrown) => {
    const { runner, logger } = createRunner();
    runner.run('open', SESSION, () => {
      throw thrown();
    });
    runner.run('open', SESSION, async () => {
      throw thrown();
    });
    await turns(1);
    expect(logger.errors).toHaveLength(2);
    await runner.idle();
  });

  it('bears a thenable that throws, also from its then', async () => {
    const { runner, logger } = createRunner();
    runner.run('open', SESSION, () => ({ then: (_: unknown, reject: (error: Error) => void) => reject(new Error('thenable')) }));
    runner.run('open', SESSION, () => ({
      then: () => {
        throw new Error('then');
      },
    }));
    runner.run('open', SESSION, () => ({
      get then(): unknown {
        throw new Error('getter');
      },
    }));
    await turns(1);
    expect(logger.errors.map((line) => line.replace(/^.* (threw|rejected)/, '$1')).sort()).toEqual([
      'rejected: Error: then',
      'rejected: Error: thenable',
      'threw: Error: getter',
    ]);
    await runner.idle();
  });

  it('is idle when no asynchronous hook is under way', async () => {
    const { runner } = createRunner();
    await runner.idle();
    runner.run('open', SESSION, () => 'not a promise');
    await runner.idle();

    let release = (): void => undefined;
    runner.run('open', SESSION, () => new Promise<void>((resolve) => (release = resolve)));
    const idle = jest.fn();
    void runner.idle().then(idle);
    await turns();
    expect(idle).not.toHaveBeenCalled();
    release();
    await turns();
    expect(idle).toHaveBeenCalledTimes(1);
  });

  it('reports a hook that hangs, once, after 10 seconds, and all of them when it is told to', async () => {
    const { runner, logger, time } = createRunner();
    runner.run('completion', SESSION, () => new Promise(() => undefined));
    time.now = 9_999;
    runner.reportHanging();
    expect(logger.warnings).toEqual([]);
    time.now = 10_000;
    runner.reportHanging();
    runner.reportHanging();
    expect(logger.warnings).toEqual([expect.stringMatching(/completion hook of session id-1 .* has not settled for 10000 ms/)]);

    runner.run('open', SESSION, () => new Promise(() => undefined));
    runner.reportHanging(0);
    expect(logger.warnings).toHaveLength(2);
  });
});
