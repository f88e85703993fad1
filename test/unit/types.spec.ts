import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import ts from 'typescript';

const FOLDER = join(process.cwd(), 'test/types');
const MARK = /@ts-expect-error TS(\d+) /g;

/*
 * `npm run typecheck` proves that each misuse in test/types does not compile; here, that it fails for the reason that its comment names,
 * and not for another, such as a typing error of the test's own.
 */
it('each misuse in test/types fails to compile for its own reason', () => {
  const { options } = ts.parseJsonConfigFileContent(ts.readConfigFile('tsconfig.json', ts.sys.readFile).config, ts.sys, process.cwd());
  const host = ts.createCompilerHost(options);
  const read = host.readFile.bind(host);
  const files = readdirSync(FOLDER).map((file) => join(FOLDER, file));
  host.readFile = (file) => (files.includes(file) ? read(file)?.replace(MARK, 'expected error TS$1 ') : read(file));
  const program = ts.createProgram(files, options, host);

  const expected: string[] = [];
  const actual: string[] = [];
  for (const file of files) {
    const source = program.getSourceFile(file) as ts.SourceFile;
    const at = (line: number, code: number | string) => `${file.slice(FOLDER.length + 1)}:${line} TS${code}`;
    source.text.split('\n').forEach((text, index) => {
      const code = /expected error TS(\d+)/.exec(text)?.[1];
      if (code) expected.push(at(index + 2, code));
    });
    const diagnostics = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    // one mark covers all the errors of its line, the first of which is the reason
    const perLine = new Map(
      diagnostics.reverse().map(({ start, code }) => [source.getLineAndCharacterOfPosition(start ?? 0).line + 1, code]),
    );
    actual.push(...[...perLine].sort(([a], [b]) => a - b).map(([line, code]) => at(line, code)));
  }
  expect(expected.length).toBeGreaterThan(20);
  expect(actual).toEqual(expected);
});
