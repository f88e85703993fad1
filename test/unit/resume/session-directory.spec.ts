import { MemoryDirectory } from '../../../lib/resume/memory-directory.js';
import { describeSessionDirectory } from '../../support/session-directory-contract.js';
import { SharedEngine } from '../../support/shared-engine.js';

describeSessionDirectory('in memory', (clock) => [new MemoryDirectory(clock, 1_000_000)]);

describeSessionDirectory('of three nodes, for tests', (clock) => {
  const engine = new SharedEngine(clock);
  return [engine.node().directory, engine.node().directory, engine.node().directory];
});
