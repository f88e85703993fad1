// A second host: a network namespace with a veth pair, whose network can be made to vanish. Needs root on Linux, and Debian's iproute2.
import { execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';

export class NetworkUnavailable extends Error {}

const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });

let next = 0;

/** Makes a namespace; `stage` removes it. The server listens on `hostAddress`. */
export function makeNetwork(stage) {
  const unique = `${process.pid}-${next++}`;
  const name = `sse-faults-${unique}`;
  // at random, as several runs may be under way on one machine
  const subnet = `10.${randomInt(100, 250)}.${randomInt(1, 250)}`;
  const [host, peer] = [`sfh${unique}`, `sfp${unique}`];
  try {
    ip('netns', 'add', name);
    stage.onEnd(() => void ip('netns', 'del', name));
    ip('link', 'add', host, 'type', 'veth', 'peer', 'name', peer, 'netns', name);
    ip('addr', 'add', `${subnet}.1/24`, 'dev', host);
    ip('link', 'set', host, 'up');
    ip('-n', name, 'addr', 'add', `${subnet}.2/24`, 'dev', peer);
    ip('-n', name, 'link', 'set', peer, 'up');
    ip('-n', name, 'link', 'set', 'lo', 'up');
  } catch (error) {
    throw new NetworkUnavailable(`needs root, and network namespaces (ip netns): ${String(error.stderr ?? error)}`.trim());
  }
  return {
    name,
    hostAddress: `${subnet}.1`,
    peerAddress: `${subnet}.2`,
    /** Nothing that is sent from there arrives any more, not even an acknowledgement. */
    vanish: () => void ip('-n', name, 'route', 'add', 'blackhole', `${subnet}.1/32`),
    comeBack: () => void ip('-n', name, 'route', 'del', 'blackhole', `${subnet}.1/32`),
    /** Runs a program there. */
    spawn(command, args, options = {}) {
      const child = spawn('ip', ['netns', 'exec', name, command, ...args], { stdio: ['ignore', 'pipe', 'inherit'], ...options });
      stage.onEnd(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        child.kill('SIGKILL');
        await once(child, 'exit');
      });
      return child;
    },
  };
}
