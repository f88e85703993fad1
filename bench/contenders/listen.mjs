export const listen = (server) => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
