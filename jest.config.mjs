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

function project(displayName, folders, moduleNameMapper = names) {
  return {
    displayName,
    rootDir: fileURLToPath(new URL('.', import.meta.url)),
    testMatch: folders.map((folder) => `<rootDir>/test/${folder}/**/*.spec.ts`),
    testPathIgnorePatterns: ['/node_modules/', '/fixtures/'],
    modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/dist-sample', '<rootDir>/test/package/fixtures'],
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
    project('unit', ['unit', 'property']),
    project('e2e (Nest 12)', ['e2e']),
    project('e2e (Nest 11)', ['e2e'], { ...nest11, ...names }),
    project('package', ['package']),
    project('browser', ['browser']),
  ],
};
