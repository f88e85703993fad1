interface HttpExceptionLike {
  getStatus(): number;
  message: string;
}

/** An HttpException is known by its shape, so that one from another copy of `@nestjs/common` is one too. */
export function isHttpException(error: unknown): error is HttpExceptionLike {
  try {
    return error instanceof Error && typeof (error as Partial<HttpExceptionLike>).getStatus === 'function';
  } catch {
    // a revoked Proxy is no HttpException either
    return false;
  }
}

/** What a client may know of an error: the message of an `HttpException`, never that of another. */
export function errorMessage(error: unknown): string {
  return isHttpException(error) ? error.message : 'Internal server error';
}
