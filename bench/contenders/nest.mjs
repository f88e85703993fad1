import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

/** An application of one controller; gives its server, which listens. */
export async function nest(controller, adapter, imports = []) {
  Controller()(controller);
  class AppModule {}
  Module({ imports, controllers: [controller] })(AppModule);
  const app = await NestFactory.create(AppModule, adapter, { logger: ['error', 'warn'] });
  await app.listen(0, '127.0.0.1');
  return app.getHttpServer();
}
