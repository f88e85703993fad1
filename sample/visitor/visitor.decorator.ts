import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { visitorIn } from './visitor.js';

/** The visitor who asks. Behind {@link VisitorGuard} there always is one. */
export const Visitor = createParamDecorator((_data: unknown, context: ExecutionContext) => visitorIn(context));
