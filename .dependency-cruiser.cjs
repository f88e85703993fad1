/*
 * The rules of layering, run in CI by `npm run check:layers`. Imports go one way, along the path of a request: see docs/architecture.md.
 */

/** Which folders a folder of lib/ may import; module/ and the entries may import all. */
const LAYERS = {
  clock: [],
  liveness: ['clock'],
  event: [],
  log: [],
  options: ['event', 'session'],
  connection: ['clock', 'event', 'options', 'liveness'],
  source: [],
  channel: ['event', 'log', 'options', 'source'],
  resume: ['clock', 'event', 'log', 'options', 'connection'],
  session: ['clock', 'event', 'options', 'liveness', 'log', 'connection', 'source', 'resume'],
  request: ['clock', 'event', 'options', 'liveness', 'log', 'connection', 'source', 'resume', 'session'],
  decorators: ['event', 'options', 'source', 'session', 'request'],
  manager: ['event', 'options', 'channel', 'session'],
  testing: ['clock', 'event', 'options', 'source', 'session', 'connection'],
};

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...Object.entries(LAYERS).map(([folder, imports]) => ({
      name: `layer-${folder}`,
      comment: `lib/${folder}/ imports ${imports.join(', ') || 'no other folder'} (docs/architecture.md).`,
      severity: 'error',
      from: { path: `^lib/${folder}/` },
      to: { path: '^lib/[^/]+/', pathNot: `^lib/(${[folder, ...imports].join('|')})/` },
    })),
    {
      name: 'options-know-sessions-by-type',
      comment: 'The options name the session that hooks and factories get, and the execution context; they use neither.',
      severity: 'error',
      from: { path: '^lib/options/' },
      to: { path: '^lib/session/|@nestjs/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-circular',
      comment: 'A cycle means that two files are one idea, or that one of them knows too much. Types count too.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'lib-stands-alone',
      comment: 'What is published must not need what is not.',
      severity: 'error',
      from: { path: '^lib/' },
      to: { path: '^(test|sample|bench|scripts|docs|dist|dist-sample)/' },
    },
    {
      name: 'lib-needs-no-dev-dependency',
      comment: 'lib/ imports only what package.json lists under dependencies or peerDependencies.',
      severity: 'error',
      from: { path: '^lib/' },
      to: {
        dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'npm-dev'],
        dependencyTypesNot: ['npm', 'npm-peer', 'npm-optional', 'type-only'],
      },
    },
    {
      name: 'nest-only-where-nest-is-met',
      comment: 'Everything else is plain TypeScript that a unit test drives with a fake clock.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/(module|decorators|request|manager)/|^lib/options/options\\.ts$' },
      to: { path: '(^|node_modules/)@nestjs/' },
    },
    {
      name: 'sockets-only-in-connection',
      comment:
        'Sockets, requests and responses, their types too, are met in connection/ and request/ alone; tcp-table.ts knows what an address is.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/(connection|request)/|^lib/liveness/tcp-table\\.ts$' },
      to: { path: '^(node:)?(net|http|http2|https|tls)$' },
    },
    {
      name: 'no-barrels',
      comment: 'Only lib/index.ts and lib/testing/index.ts re-export. Import from the file that has it.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/(testing/)?index\\.ts$' },
      to: { dependencyTypes: ['export'] },
    },
    {
      name: 'entries-are-for-users',
      comment: 'Inside lib/ nobody imports through an entry, nor is there another index.ts.',
      severity: 'error',
      from: { path: '^lib/' },
      to: { path: '^lib/.*index\\.ts$' },
    },
    {
      name: 'resolvable',
      comment: 'A rule cannot judge an import that it cannot find.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    // Type-only imports are held to the same rules.
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
