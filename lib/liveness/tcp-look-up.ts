import { type ReadTcpTables, type TcpEndpoints, type TcpSocket, type TcpSockets, isPermanent, tcpKey } from './tcp-table.js';

/** How often, and after how long, a read that failed is tried again. */
const ATTEMPTS = 20;
const RETRY_MS = 500;

/** Looks single connections up; those that are asked for at about the same time share one read of the tables. */
export class TcpLookUp {
  #asked = new Map<string, ((socket: TcpSocket | undefined) => void)[]>();
  #isReading = false;

  constructor(private readonly read: ReadTcpTables) {}

  /** What the kernel knows of a connection; `undefined` where it cannot be asked, or has none. Never sooner than after a turn of the event loop. */
  find(endpoints: TcpEndpoints | undefined): Promise<TcpSocket | undefined> {
    return new Promise((resolve) => {
      if (!endpoints) {
        setImmediate(() => resolve(undefined));
        return;
      }
      const key = tcpKey(endpoints);
      const others = this.#asked.get(key);
      if (others) others.push(resolve);
      else this.#asked.set(key, [resolve]);
      this.#readSoon();
    });
  }

  #readSoon(): void {
    if (this.#isReading || this.#asked.size === 0) return;
    this.#isReading = true;
    setImmediate(() => void this.#readNow());
  }

  async #readNow(): Promise<void> {
    const asked = this.#asked;
    this.#asked = new Map();
    const sockets = await this.#read(new Set(asked.keys()));
    this.#isReading = false;
    for (const [key, waiting] of asked) for (const resolve of waiting) resolve(sockets?.get(key));
    this.#readSoon();
  }

  /** Tries again for a while when no file descriptor is free: not to know is no reason to end anybody. Where there are no tables, nothing is known. */
  async #read(keys: ReadonlySet<string>): Promise<TcpSockets | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.read(keys);
      } catch (error) {
        if (isPermanent(error) || attempt === ATTEMPTS) return undefined;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
    }
  }
}
