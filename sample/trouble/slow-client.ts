import { connect, type Socket } from 'node:net';

const LIFE_MS = 60_000;

export interface Target {
  host: string;
  port: number;
  path: string;
  cookie: string;
}

/** A client that asks for a stream and then reads nothing of it, like a phone in a tunnel. */
export class SlowClient {
  private readonly socket: Socket;
  private readonly deadline: NodeJS.Timeout;

  constructor({ host, port, path, cookie }: Target, onClose: () => void) {
    this.socket = connect(port, host);
    this.socket.pause();
    this.socket.on('error', () => this.socket.destroy());
    this.socket.once('close', () => {
      clearTimeout(this.deadline);
      onClose();
    });
    this.socket.write(
      [`GET ${path} HTTP/1.1`, `Host: ${host}:${port}`, 'Accept: text/event-stream', `Cookie: ${cookie}`, '', ''].join('\r\n'),
    );
    // Who does not read learns of nothing, not even that the other side has hung up.
    this.deadline = setTimeout(() => this.close(), LIFE_MS);
  }

  close(): void {
    this.socket.destroy();
  }
}
