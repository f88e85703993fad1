import { Req } from '@nestjs/common';
import { CurrentSession, ManagedSse, SseSessionModule } from 'nestjs-sse-session';
import { Subject } from 'rxjs';
import { decorate } from './decorate.mjs';
import { nest } from './nest.mjs';

/**
 * Ours: the handler returns one Subject for all; `make` says what is put into it. `retryMs: false`, so that the same bytes are on the wire as
 * with the others; all else is on, as it is by default.
 */
export const managed =
  (makeAdapter, make, moduleOptions = {}) =>
  async ({ heartbeatMs, tokens, ended }) => {
    const events = new Subject();
    class ManagedController {
      stream() {
        return events;
      }
      watched(session, request) {
        const { socket } = request.raw ?? request;
        session.onCompletion(() => ended(socket));
        return events;
      }
      tokens() {
        return tokens();
      }
    }
    decorate(ManagedController.prototype, 'stream', [], ManagedSse('stream'));
    decorate(ManagedController.prototype, 'watched', [CurrentSession(), Req()], ManagedSse('watched'));
    decorate(ManagedController.prototype, 'tokens', [], ManagedSse('tokens'));
    const heartbeat = heartbeatMs ? { heartbeat: { intervalMs: heartbeatMs } } : {};
    const module = SseSessionModule.forRoot({ retryMs: false, ...heartbeat, ...moduleOptions });
    return { server: await nest(ManagedController, makeAdapter(), [module]), publish: (event) => events.next(make(event)) };
  };
