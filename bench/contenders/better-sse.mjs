import { createServer } from 'node:http';
import { createChannel, createSession } from 'better-sse';
import { listen } from './listen.mjs';

export async function betterSse({ heartbeatMs, tokens, ended }) {
  const channel = createChannel();
  // without a `retry:`, as all the others
  const options = { retry: null, ...(heartbeatMs && { keepAlive: heartbeatMs }) };
  const server = createServer(async (request, response) => {
    const session = await createSession(request, response, options);
    if (request.url === '/tokens') return session.iterate(tokens());
    if (request.url === '/watched') {
      const { socket } = request;
      session.once('disconnected', () => ended(socket));
    }
    channel.register(session);
  });
  return { server: await listen(server), publish: ({ data }) => channel.broadcast(data) };
}
