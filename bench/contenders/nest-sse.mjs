import { Req, Sse } from '@nestjs/common';
import { Subject, finalize, from } from 'rxjs';
import { decorate } from './decorate.mjs';
import { nest } from './nest.mjs';

/** Nest's own `@Sse()`: one Subject for all. It has no heartbeats. */
export const nestSse =
  (makeAdapter) =>
  async ({ tokens, ended }) => {
    const events = new Subject();
    class SseController {
      stream() {
        return events;
      }
      watched(request) {
        const { socket } = request;
        return events.pipe(finalize(() => ended(socket)));
      }
      tokens() {
        return from(tokens());
      }
    }
    decorate(SseController.prototype, 'stream', [], Sse('stream'));
    decorate(SseController.prototype, 'watched', [Req()], Sse('watched'));
    decorate(SseController.prototype, 'tokens', [], Sse('tokens'));
    return { server: await nest(SseController, makeAdapter()), publish: (event) => events.next(event) };
  };
