import { fileURLToPath } from 'node:url';

const swc = {
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true, dynamicImport: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: true },
    keepClassNames: true,
  },
  module: { type: 'es6' },
  sourceMaps: 'inline',
};

const names = {
  '^nestjs-sse-session$': '<rootDir>/lib/index.ts',
  '^nestjs-sse-session/testing$': '<rootDir>/lib/testing/index.ts',
  '^(\\.{1,2}/.*)\\.js$': '$1',
};

/** The whole suite runs on the Nest 12 of the root; the end-to-end tests run once more on the Nest 11 of test/nest-11. */
const nest11 = { '^@nestjs/(.*)$': '<rootDir>/test/nest-11/node_modules/@nestjs/$1' };

/** Every end of a session and every invariant, once more on what is published. */
const ENDS = ['e2e/close-reasons', 'e2e/invariants'];

const built = (build) => ({
  '^nestjs-sse-session$': `<rootDir>/dist/${build}/index.js`,
  '^nestjs-sse-session/testing$': `<rootDir>/dist/${build}/testing/index.js`,
  '^(\\.{1,2}/.*)\\.js$': '$1',
});

function project(displayName, folders, moduleNameMapper = names, ignored = ['dist', 'dist-sample', 'test/package/fixtures']) {
  return {
    displayName,
    rootDir: fileURLToPath(new URL('.', import.meta.url)),
    testMatch: folders.map((folder) => `<rootDir>/test/${folder}.spec.ts`),
    testPathIgnorePatterns: ['/node_modules/', '/fixtures/'],
    modulePathIgnorePatterns: ignored.map((folder) => `<rootDir>/${folder}/`),
    testEnvironment: 'node',
    extensionsToTreatAsEsm: ['.ts'],
    transform: { '\\.ts$': ['@swc/jest', swc] },
    setupFiles: ['reflect-metadata'],
    moduleNameMapper,
  };
}

export default {
  maxWorkers: 2,
  // Jest reads it here alone, never from a project: a slower file calls jest.setTimeout().
  testTimeout: 30_000,
  coverageProvider: 'v8',
  coverageDirectory: 'coverage',
  collectCoverageFrom: ['lib/**/*.ts'],
  projects: [
    project('unit', ['unit/**/*', 'property/**/*']),
    // walks the heap, so it needs a process with nothing else in it
    project('cost', ['cost/**/*']),
    project('e2e (Nest 12)', ['e2e/**/*']),
    project('e2e (Nest 11)', ['e2e/**/*'], { ...nest11, ...names }),
    project('ends (ESM build, Nest 12)', ENDS, built('esm'), ['dist-sample']),
    project('ends (CommonJS build, Nest 11)', ENDS, { ...nest11, ...built('cjs') }, ['dist-sample']),
    project('package', ['package/**/*']),
    project('browser', ['browser/**/*']),
  ],
};
