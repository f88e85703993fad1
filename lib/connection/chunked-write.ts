import { OutgoingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/*
 * The chunks of a response (RFC 9112, section 7.1), written straight to its socket. Node's own response makes four writes of each and joins them in
 * a tick of its own per response, which is the greater part of what an event costs in JavaScript.
 *
 * Two kinds of observers see nothing of what goes past the response: who has wrapped `OutgoingMessage.prototype.write` before this module was loaded
 * (an agent, by `--import`), and who puts a `write` of their own on a response when its head is out. A middleware that does so earlier sees all.
 */

// eslint-disable-next-line @typescript-eslint/unbound-method -- to compare with
const nodesOwnWrite = OutgoingMessage.prototype.write;

const CRLF = '\r\n';

/**
 * Whether the chunks of a response may go past it, until it or its socket ends:
 *
 * - its head has gone to the socket, and nothing of it waits in the response: not while it is pipelined behind another;
 * - the body is chunked: not over HTTP/1.0, nor with a Content-Length;
 * - nobody has put a `write` of their own in the place of Node's, as compression and most that look at bodies do.
 *
 * Asked once, when the head is out: Express changes the prototype of each response, after which a look at one takes ten times as long.
 */
export function canBypassResponse(response: ServerResponse, socket: Socket): boolean {
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
 * @param isUnique no other response is written the same, as with the ids of a session that can be resumed
 * @returns `false` when the socket takes no more before its `drain`
 */
export function writeChunk(socket: Socket, chunk: string | Buffer, byteLength: number, isUnique: boolean): boolean {
  if (typeof chunk === 'string') return isUnique ? writeUnique(socket, chunk, byteLength) : writeText(socket, chunk, byteLength);
  // cheaper than to copy it into one with its framing
  socket.cork();
  socket.write(sizeLine(byteLength), 'latin1');
  socket.write(chunk);
  const takesMore = socket.write(CRLF, 'latin1');
  socket.uncork();
  return takesMore;
}

/** A broadcast, and a heartbeat, is written to one session after the other: from the second on, its bytes are made once for all. */
const last: { text: string; bytes: Buffer | undefined } = { text: '', bytes: undefined };

function writeText(socket: Socket, text: string, byteLength: number): boolean {
  if (text === last.text) {
    last.bytes ??= Buffer.from(sizeLine(byteLength) + text + CRLF);
    return socket.write(last.bytes);
  }
  last.text = text;
  last.bytes = undefined;
  return writeUnique(socket, text, byteLength);
}

function writeUnique(socket: Socket, text: string, byteLength: number): boolean {
  // as many bytes as characters: all ASCII, which needs no encoding
  return socket.write(sizeLine(byteLength) + text + CRLF, text.length === byteLength ? 'latin1' : 'utf8');
}

/** To write a number in hexadecimal takes longer than to look whether it is the last one, as in a broadcast it is. */
const lastSize = { byteLength: 0, line: `0${CRLF}` };

function sizeLine(byteLength: number): string {
  if (byteLength !== lastSize.byteLength) {
    lastSize.byteLength = byteLength;
    lastSize.line = byteLength.toString(16) + CRLF;
  }
  return lastSize.line;
}
