import { Req, Sse } from '@nestjs/common';
import { Subject, finalize, from, map } from 'rxjs';
import { decorate } from './decorate.mjs';
import { nest } from './nest.mjs';

/** Nest's own `@Sse()`: one Subject for all. It has no heartbeats. */
export const nestSse =
  (makeAdapter) =>
  async ({ tokens, ended }) => {
    const events = new Subject();
    class SseController {
      stream(request) {
        const { socket } = request;
        return events.pipe(finalize(() => ended(socket)));
      }
      tokens() {
        return from(tokens()).pipe(map((data) => ({ data })));
      }
    }
    decorate(SseController.prototype, 'stream', [Req()], Sse('stream'));
    decorate(SseController.prototype, 'tokens', [], Sse('tokens'));
    return { server: await nest(SseController, makeAdapter()), publish: (event) => events.next(event) };
  };
