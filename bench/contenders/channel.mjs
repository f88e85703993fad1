import { ManagedSse, SessionManager, SseSessionModule } from 'nestjs-sse-session';
import { Inject } from '@nestjs/common';
import { decorate } from './decorate.mjs';
import { nest } from './nest.mjs';

/** Ours: the handler returns the stream of a channel, and events are published to that. */
export const channel = (makeAdapter, make) => async () => {
  let events;
  class ChannelController {
    constructor(sessions) {
      events = sessions.channel('events');
    }
    stream() {
      return events.stream();
    }
  }
  Inject(SessionManager)(ChannelController, undefined, 0);
  decorate(ChannelController.prototype, 'stream', [], ManagedSse('stream'));
  const server = await nest(ChannelController, makeAdapter(), [SseSessionModule.forRoot({ retryMs: false })]);
  return { server, publish: (event) => void events.publish(make(event)) };
};
