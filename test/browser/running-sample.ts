import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('../../scripts/start-sample.mjs', import.meta.url));
const BUILT = fileURLToPath(new URL('../../dist-sample/main.js', import.meta.url));

interface Connections {
  open: number;
  completed: number;
  closedByClient: number;
}

/** The sample application as `npm start` runs it: built, in a process of its own, on a free port. */
export class RunningSample {
  static start(): Promise<RunningSample> {
    return RunningSample.spawn(SCRIPT, '0', 60);
  }

  /** What another one has built, as a single process that can be killed. */
  static startBuilt({ port = '0', tokensPerSecond = 60 } = {}): Promise<RunningSample> {
    return RunningSample.spawn(BUILT, port, tokensPerSecond);
  }

  private static async spawn(script: string, port: string, tokensPerSecond: number): Promise<RunningSample> {
    const env: NodeJS.ProcessEnv = { ...process.env, PORT: port, TOKENS_PER_SECOND: String(tokensPerSecond) };
    // What is set on the machine of a developer is not what is tested here.
    for (const name of ['HOST', 'OPENAI_BASE_URL', 'OPENAI_API_KEY', 'OPENAI_MODEL', 'NODE_OPTIONS']) delete env[name];
    const child = spawn(process.execPath, [script], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    return new RunningSample(child, await printedUrl(child));
  }

  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
  ) {}

  /** What the upstream itself sees of the application's connections. */
  async upstream(): Promise<Connections> {
    const response = await fetch(`${this.url}/api/upstream`);
    return ((await response.json()) as { connections: Connections }).connections;
  }

  /** How many answers the upstream has been asked for. */
  async calls(): Promise<number> {
    const { open, completed, closedByClient } = await this.upstream();
    return open + completed + closedByClient;
  }

  /** Asks it to stop, as Ctrl-C does; resolves when it has. */
  async stop(): Promise<void> {
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exit;
  }

  /** A crash, for one that was started built. Another one takes its place, at the same address. */
  async crash(): Promise<RunningSample> {
    const exit = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exit;
    return RunningSample.startBuilt({ port: new URL(this.url).port });
  }
}

/** What it prints is read to the last, as a pipe that nobody reads would stop it. */
function printedUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        const url = /Open (http:\S+)/.exec(output)?.[1];
        if (url !== undefined) resolve(url);
      });
    }
    child.once('exit', (code) => reject(new Error(`The sample has not started (exit code ${code}):\n${output}`)));
  });
}
