import fastifySsePlugin from '@fastify/sse';
import fastify from 'fastify';

export async function fastifySse({ heartbeatMs, tokens, ended }) {
  const app = fastify();
  await app.register(fastifySsePlugin, heartbeatMs ? { heartbeatInterval: heartbeatMs } : {});
  const replies = new Set();
  const stream = async (request, reply) => {
    reply.sse.keepAlive();
    reply.sse.sendHeaders();
    reply.raw.flushHeaders();
    replies.add(reply);
    reply.sse.onClose(() => {
      replies.delete(reply);
      if (request.url === '/watched') ended(request.raw.socket);
    });
  };
  app.get('/stream', { sse: true }, stream);
  app.get('/watched', { sse: true }, stream);
  app.get('/tokens', { sse: true }, async (request, reply) => {
    reply.sse.sendHeaders();
    reply.raw.flushHeaders();
    await reply.sse.send(tokens());
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  return {
    server: app.server,
    publish: (event) => {
      for (const reply of replies) void reply.sse.send(event);
    },
  };
}
