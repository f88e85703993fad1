import type { OnApplicationShutdown } from '@nestjs/common';
import OpenAI from 'openai';
import type { ConnectionStats } from './connection-count.js';
import { EmbeddedUpstream } from './embedded-upstream.js';
import { modelWith, type Fault } from './models.js';

export interface UpstreamOptions {
  /** An OpenAI-compatible endpoint; without it the sample starts its own, see {@link EmbeddedUpstream}. */
  baseURL?: string | undefined;
  apiKey?: string | undefined;
  model?: string | undefined;
  /** How fast the embedded server talks. */
  tokensPerSecond?: number | undefined;
}

export interface UpstreamStatus {
  embedded: boolean;
  model: string;
  /** Only the embedded server can be asked what it sees of us. */
  connections: ConnectionStats | null;
}

/** Where the answers come from: a provider far away, or the server that the sample brings along. */
export class Upstream implements OnApplicationShutdown {
  static async connect(options: UpstreamOptions): Promise<Upstream> {
    if (options.baseURL !== undefined || options.apiKey !== undefined) return new Upstream(options);
    const embedded = new EmbeddedUpstream(options.tokensPerSecond ?? 25);
    await embedded.start();
    return new Upstream({ baseURL: embedded.baseURL, apiKey: embedded.apiKey, model: modelWith('none') }, embedded);
  }

  readonly client: OpenAI;
  private readonly model: string;

  private constructor(
    { baseURL, apiKey, model }: UpstreamOptions,
    private readonly embedded?: EmbeddedUpstream,
  ) {
    // No retries: the status of a refusal shall reach the browser at once, not after seconds of waiting behind its back.
    this.client = new OpenAI({ baseURL, apiKey: apiKey ?? 'none', maxRetries: 0 });
    this.model = model ?? 'gpt-4o-mini';
  }

  /** A fault can be had of the embedded server only. */
  modelFor(fault: Fault): string {
    return this.embedded ? modelWith(fault) : this.model;
  }

  status(): UpstreamStatus {
    return { embedded: this.embedded !== undefined, model: this.model, connections: this.embedded?.connections.snapshot() ?? null };
  }

  /** After the library has drained its sessions: until then the answers still come from here. */
  async onApplicationShutdown(): Promise<void> {
    await this.embedded?.close();
  }
}
