import 'reflect-metadata';
import { createSample } from './create-sample.js';

/** An empty variable is as good as none. */
const setting = (name: string) => process.env[name] || undefined;

function numberSetting(name: string, least: number): number | undefined {
  const text = setting(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isFinite(value) && value >= least) return value;
  throw new RangeError(`${name} is ${JSON.stringify(text)}; expected a number, at least ${least}`);
}

const port = numberSetting('PORT', 0) ?? 3000;
const { url, upstream } = await createSample({
  port,
  host: setting('HOST'),
  upstream: {
    baseURL: setting('OPENAI_BASE_URL'),
    apiKey: setting('OPENAI_API_KEY'),
    model: setting('OPENAI_MODEL'),
    tokensPerSecond: numberSetting('TOKENS_PER_SECOND', 1),
  },
}).catch((error: NodeJS.ErrnoException) => {
  if (error.code !== 'EADDRINUSE') throw error;
  console.error(`Port ${port} is taken; choose another: PORT=3001 npm start`);
  process.exit(1);
});

const { embedded, model } = upstream.status();
console.log(`\nThe answers come from ${embedded ? 'the embedded upstream' : `the model ${model}`}. Open ${url}\n`);
