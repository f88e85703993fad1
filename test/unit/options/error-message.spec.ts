import { describe, expect, it } from '@jest/globals';
import { BadRequestException, HttpException } from '@nestjs/common';
import { errorMessage, isHttpException } from '../../../lib/options/error-message.js';

describe('what a client may know of an error', () => {
  it('is the message of an HttpException', () => {
    expect(errorMessage(new HttpException('Quota used up', 429))).toBe('Quota used up');
    expect(errorMessage(new BadRequestException('No prompt'))).toBe('No prompt');
  });

  it('is the message of an HttpException from another copy of Nest, known by its shape', () => {
    class HttpExceptionOfAnotherCopy extends Error {
      getStatus = () => 418;
    }
    expect(isHttpException(new HttpExceptionOfAnotherCopy('teapot'))).toBe(true);
    expect(errorMessage(new HttpExceptionOfAnotherCopy('teapot'))).toBe('teapot');
  });

  it.each([new Error('password'), 'password', { message: 'password', getStatus: () => 400 }, null, undefined])(
    'is nothing of %p',
    (error) => {
      expect(errorMessage(error)).toBe('Internal server error');
    },
  );
});
