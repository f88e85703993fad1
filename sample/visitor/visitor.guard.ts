import { Injectable, UnauthorizedException, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { visitorIn } from './visitor.js';

/** A request without a visitor gets 401: nobody's sessions could be stopped by nobody. */
@Injectable()
export class VisitorGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    if (visitorIn(context) === undefined) throw new UnauthorizedException('Load the page first: it gives you a visitor cookie');
    return true;
  }
}
