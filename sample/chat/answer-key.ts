import type { ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';

/** The page chooses what its answer is called, so that it can come back to it and stop it; another visitor's answer of the same name is another one. */
export function answerOf(context: ExecutionContext): string | undefined {
  const { answer } = context.switchToHttp().getRequest<Request>().query;
  return typeof answer === 'string' && answer.length <= 100 ? answer : undefined;
}
