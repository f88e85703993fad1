import { describe, expect, it } from '@jest/globals';
import { encode, encodeComment, encodeData } from '../../../lib/event/encode.js';

describe('encode', () => {
  it('writes the fields as lines and ends the block with a blank one', () => {
    expect(encode({ data: 'hello', type: 'greeting', id: '7', retry: 500, comment: 'hi' }).text).toBe(
      ': hi\nretry: 500\nevent: greeting\ndata: hello\nid: 7\n\n',
    );
  });

  it('writes the id last, so that a block that was cut leaves a client without the id of an event that it does not have', () => {
    const lines = encode({ id: '1', data: 'a\nb', type: 't' }).text.trimEnd().split('\n');
    expect(lines.at(-1)).toBe('id: 1');
  });

  it.each(['a\nb', 'a\rb', 'a\r\nb'])('splits data at line breaks: %j', (data) => {
    expect(encode({ data }).text).toBe('data: a\ndata: b\n\n');
    expect(encodeData(data).text).toBe('data: a\ndata: b\n\n');
  });

  it('takes CRLF as one line break and LF CR as two', () => {
    expect(encodeData('a\r\nb\n\rc').text).toBe('data: a\ndata: b\ndata: \ndata: c\n\n');
  });

  it('keeps empty data, empty lines and leading spaces', () => {
    expect(encodeData('').text).toBe('data: \n\n');
    expect(encodeData('\n').text).toBe('data: \ndata: \n\n');
    expect(encodeData(' a').text).toBe('data:  a\n\n');
  });

  it('gives data that looks like a field no meaning', () => {
    expect(encodeData('x\nevent: forged\n\ndata: forged').text).toBe('data: x\ndata: event: forged\ndata: \ndata: data: forged\n\n');
  });

  it('writes an empty id, which clears the last id of the client', () => {
    expect(encode({ data: 'a', id: '' }).text).toBe('data: a\nid:\n\n');
  });

  it('ends the block of an id alone, so that a client commits it', () => {
    expect(encode({ id: '5' })).toMatchObject({ text: 'id: 5\n\n', committed: true });
  });

  it('writes a comment or a retry alone without a blank line, which fetch-event-source would turn into an empty message', () => {
    expect(encode({ comment: 'a\nb' })).toMatchObject({ text: ': a\n: b\n', committed: false });
    expect(encode({ retry: 10 })).toMatchObject({ text: 'retry: 10\n', committed: false });
    expect(encode({ retry: 10, comment: 'a' })).toMatchObject({ text: ': a\nretry: 10\n', committed: false });
    expect(encodeComment('heartbeat').text).toBe(': heartbeat\n');
  });

  it('takes an empty type for none', () => {
    expect(encode({ data: 'a', type: '' })).toMatchObject({ text: 'data: a\n\n', slot: '' });
  });

  it('counts bytes, not characters', () => {
    expect(encodeData('é').byteLength).toBe(Buffer.byteLength('data: é\n\n'));
  });

  it('writes a text that is data alone as the general way does', () => {
    for (const data of ['', 'a', 'a\nb\r\n', ' x']) expect(encodeData(data)).toEqual(encode({ data }));
  });
});

describe('what an event takes in memory', () => {
  const bytesOf = (data: string): number => encodeData(data).memoryBytes - 128;

  it('is a byte a character of ASCII, two of other text, and the bytes too of what leaves in slices', () => {
    expect(bytesOf('x'.repeat(1_000))).toBe('data: \n\n'.length + 1_000);
    expect(bytesOf(`${'x'.repeat(998)}😀`)).toBe(2 * ('data: \n\n'.length + 1_000));
    expect(bytesOf('x'.repeat(100_000))).toBe(2 * ('data: \n\n'.length + 100_000));
  });
});
