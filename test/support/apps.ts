import { createRequire } from 'node:module';
import type { Server as HttpServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe } from '@jest/globals';
import type { INestApplication, ModuleMetadata, NestApplicationOptions } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test, type TestingModuleBuilder } from '@nestjs/testing';
import { closeClients } from './raw-client.js';

export type AdapterName = 'express' | 'fastify';

export interface AppDescription extends Pick<ModuleMetadata, 'imports' | 'controllers' | 'providers'> {
  /** Runs on the application before it listens: pipes, filters, middleware, plugins. */
  configure?(app: INestApplication): void | Promise<void>;
  /** Replaces providers, guards and so on, e.g. `(builder) => builder.overrideProvider(CLOCK).useValue(clock)`. */
  overrides?(builder: TestingModuleBuilder): TestingModuleBuilder;
  /** What `new FastifyAdapter()` gets, such as `{ http2: true }`. Express has nothing of the kind. */
  adapterOptions?: ConstructorParameters<typeof FastifyAdapter>[0];
  appOptions?: NestApplicationOptions;
}

export interface RunningApp {
  readonly app: INestApplication;
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  readonly url: string;
  readonly port: number;
  /** Stops the application as `app.close()` does: it waits for what the application waits for. */
  close(): Promise<void>;
}

export interface Harness {
  readonly adapter: AdapterName;
  /** Starts an application on a free port of 127.0.0.1. What a test leaves open is closed after it, its connections first. */
  startApp(description: AppDescription): Promise<RunningApp>;
}

interface Started extends RunningApp {
  readonly sockets: Set<Socket>;
}

/** The major version of Nest that this project of jest.config.mjs runs on. */
export const nestMajor = readNestMajor();

/** Describes `name` once on Express and once on Fastify. */
export function describeEachAdapter(name: string, body: (harness: Harness) => void): void {
  describe.each<AdapterName>(['express', 'fastify'])(`${name} (Nest ${nestMajor}, %s)`, (adapter) => {
    const started = new Set<Started>();
    afterEach(async () => {
      await closeClients();
      await Promise.all([...started].map(stop));
      started.clear();
    });
    body({
      adapter,
      startApp: async (description) => {
        const app = await start(adapter, description);
        started.add(app);
        return app;
      },
    });
  });
}

async function start(adapter: AdapterName, description: AppDescription): Promise<Started> {
  const { configure, overrides, adapterOptions, appOptions, ...metadata } = description;
  const builder = Test.createTestingModule(metadata);
  const testingModule = await (overrides?.(builder) ?? builder).compile();
  const httpAdapter = adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter(adapterOptions);
  const app = testingModule.createNestApplication<INestApplication<HttpServer>>(httpAdapter, appOptions);
  const sockets = new Set<Socket>();
  await configure?.(app);
  app.getHttpServer().on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  let closing: Promise<void> | undefined;
  return { app, port, url: `http://127.0.0.1:${port}`, sockets, close: () => (closing ??= app.close()) };
}

/** Cuts the connections before it closes, so that one failed test does not make the next wait for its streams. */
async function stop({ sockets, close }: Started): Promise<void> {
  for (const socket of sockets) socket.destroy();
  await close();
}

function readNestMajor(): number {
  const { version } = createRequire(import.meta.url)('@nestjs/core/package.json') as { version: string };
  return Number(version.split('.')[0]);
}
