import { OutgoingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/*
 * The chunks of a response, written straight to its socket (RFC 9112, section 7.1). Node's own response makes four writes of each, joins them in a
 * tick of its own, and takes a quarter more CPU per event for it: `npm run bench` has both.
 *
 * Only where nobody can tell the difference: see canWriteStraight().
 */

// eslint-disable-next-line @typescript-eslint/unbound-method -- to compare with
const nodesOwnWrite = OutgoingMessage.prototype.write;

/** From this size on it is cheaper to hand three pieces to the kernel than to copy one. */
const COPY_MAX_BYTES = 4_096;

const CRLF = '\r\n';

/**
 * Whether the chunks of a response may go past it, until it ends:
 *
 * - its head has gone to the socket, and nothing of it waits in the response: not while it is pipelined behind another;
 * - the body is chunked: not over HTTP/1.0, nor with a Content-Length;
 * - nobody has put a `write` of their own in the place of Node's, as compression and most that look at bodies do.
 *
 * Asked once, when the head is out: Express changes the prototype of each response, after which a look at one takes ten times as long.
 */
export function canWriteStraight(response: ServerResponse, socket: Socket): boolean {
  return (
    response.write === nodesOwnWrite &&
    response.socket === socket &&
    response.headersSent &&
    response.chunkedEncoding &&
    response.writableLength === socket.writableLength
  );
}

/**
 * @param byteLength of the chunk in UTF-8
 * @returns `false` when the socket takes no more before its `drain`
 */
export function writeStraight(socket: Socket, chunk: string | Buffer, byteLength: number): boolean {
  const size = byteLength.toString(16) + CRLF;
  // as many bytes as characters: all ASCII, which needs no encoding
  if (typeof chunk === 'string') return socket.write(size + chunk + CRLF, chunk.length === byteLength ? 'latin1' : 'utf8');
  if (byteLength <= COPY_MAX_BYTES) return socket.write(framed(size, chunk));
  socket.cork();
  socket.write(size, 'latin1');
  socket.write(chunk);
  const takesMore = socket.write(CRLF, 'latin1');
  socket.uncork();
  return takesMore;
}

/** A broadcast is written to one session after the other: what it was framed to for the first is kept for the others. */
const last: { bytes: Buffer | undefined; framed: Buffer } = { bytes: undefined, framed: Buffer.alloc(0) };

function framed(size: string, bytes: Buffer): Buffer {
  if (last.bytes !== bytes) {
    last.bytes = bytes;
    last.framed = Buffer.concat([Buffer.from(size, 'latin1'), bytes, Buffer.from(CRLF, 'latin1')]);
  }
  return last.framed;
}
