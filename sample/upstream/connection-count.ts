import type { ServerResponse } from 'node:http';

export interface ConnectionStats {
  open: number;
  completed: number;
  closedByClient: number;
}

/** How the connections of a server ended, and how many have not yet. */
export class ConnectionCount {
  private readonly stats: ConnectionStats = { open: 0, completed: 0, closedByClient: 0 };

  count(response: ServerResponse): void {
    this.stats.open += 1;
    response.once('close', () => {
      this.stats.open -= 1;
      this.stats[response.writableFinished ? 'completed' : 'closedByClient'] += 1;
    });
  }

  snapshot(): ConnectionStats {
    return { ...this.stats };
  }
}
