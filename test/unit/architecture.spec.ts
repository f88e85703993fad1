import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, it } from '@jest/globals';

it('docs/architecture.md names every file of lib/, and none that there is not', () => {
  const page = readFileSync(join(process.cwd(), 'docs/architecture.md'), 'utf8');
  const table = page.slice(page.indexOf('| folder | files |'), page.indexOf('`@nestjs/*` is imported only by'));
  const named = [...table.matchAll(/`([\w.-]+\.ts)`/g)].map(([, file]) => file);
  const files = readdirSync('lib', { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !file.startsWith('testing'),
  );
  expect([...new Set(named)].sort()).toEqual([...new Set(files.map((file) => basename(file)))].sort());
});
