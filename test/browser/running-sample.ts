import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('../../scripts/start-sample.mjs', import.meta.url));

interface Connections {
  open: number;
  completed: number;
  closedByClient: number;
}

/** The sample application as `npm start` runs it: built, in a process of its own, on a free port. */
export class RunningSample {
  static async start(): Promise<RunningSample> {
    const env: NodeJS.ProcessEnv = { ...process.env, PORT: '0', TOKENS_PER_SECOND: '60' };
    // What is set on the machine of a developer is not what is tested here.
    for (const name of ['HOST', 'OPENAI_BASE_URL', 'OPENAI_API_KEY', 'OPENAI_MODEL', 'NODE_OPTIONS']) delete env[name];
    const child = spawn(process.execPath, [SCRIPT], { env, stdio: ['ignore', 'pipe', 'pipe'] });
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

  /** Asks it to stop, as Ctrl-C does; resolves when it has. */
  async stop(): Promise<void> {
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exit;
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
