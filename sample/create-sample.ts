import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import { Upstream, type UpstreamOptions } from './upstream/upstream.js';
import { giveVisitorCookie } from './visitor/visitor.js';

const PAGE = fileURLToPath(new URL('public', import.meta.url));
const UPLOT = dirname(createRequire(import.meta.url).resolve('uplot'));

export interface SampleOptions {
  /** 0 takes any free port. */
  port: number;
  /** The address to listen on: this machine only, unless told otherwise. Whoever reaches the page spends the API key. */
  host?: string | undefined;
  upstream?: UpstreamOptions | undefined;
}

export interface Sample {
  app: NestExpressApplication;
  url: string;
  upstream: Upstream;
}

export async function createSample({ port, host = '127.0.0.1', upstream = {} }: SampleOptions): Promise<Sample> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.forRoot(upstream), {
    logger: ['warn', 'error', 'fatal'],
    abortOnError: false,
  });
  app.use(giveVisitorCookie);
  app.useStaticAssets(PAGE);
  app.useStaticAssets(UPLOT, { prefix: '/uplot' });
  // Ctrl-C ends the sessions in order: each is told when to come back, and its hooks run.
  app.enableShutdownHooks();
  await app.listen(port, host);
  return { app, url: await app.getUrl(), upstream: app.get(Upstream) };
}
