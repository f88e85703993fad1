import { HttpException, HttpStatus, Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import OpenAI from 'openai';
import { catchError, filter, map, tap, throwError, type Observable } from 'rxjs';
import { AnswerLog } from './answer-log.js';

/** Makes the chunks of the OpenAI protocol into the text that the page shows, and counts them; its errors into ones that a client may see. */
@Injectable()
export class TokensInterceptor implements NestInterceptor<OpenAI.ChatCompletionChunk, string> {
  constructor(private readonly answers: AnswerLog) {}

  intercept(_context: ExecutionContext, next: CallHandler<OpenAI.ChatCompletionChunk>): Observable<string> {
    return next.handle().pipe(
      map((chunk) => chunk.choices[0]?.delta.content ?? ''),
      filter((text) => text !== ''),
      tap(() => this.answers.addToken()),
      catchError((error: unknown) => throwError(() => asHttpException(error))),
    );
  }
}

/** An upstream's refusal keeps its status; what fails on the way, or midway, has none and is a bad gateway. */
function asHttpException(error: unknown): unknown {
  if (!(error instanceof OpenAI.APIError)) return error;
  return new HttpException(`Upstream: ${error.message}`, (error.status as number | undefined) ?? HttpStatus.BAD_GATEWAY, { cause: error });
}
