import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { chromium, type Browser, type BrowserContext, type Locator, type Page } from 'playwright-core';
import { ALICE } from '../../sample/upstream/alice.js';
import { eventually } from '../support/eventually.js';
import { RunningSample } from './running-sample.js';

/** As the fault rows start it, too. */
const { executablePath, args } = JSON.parse(readFileSync('test/support/chromium.json', 'utf8')) as {
  executablePath: string;
  args: string[];
};
const LAUNCH = { executablePath: process.env.CHROMIUM_PATH ?? executablePath, args };

let sample: RunningSample;
let browser: Browser;
let visitor: BrowserContext;
let page: Page;

beforeAll(async () => {
  [sample, browser] = await Promise.all([RunningSample.start(), chromium.launch(LAUNCH)]);
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await sample?.stop();
});

beforeEach(async () => {
  visitor = await browser.newContext();
  page = await open(visitor);
});

afterEach(async () => {
  await visitor.close();
  await eventually(async () => expect(await sample.upstream()).toMatchObject({ open: 0 }));
});

async function open(context: BrowserContext): Promise<Page> {
  const opened = await context.newPage();
  await opened.goto(sample.url);
  return opened;
}

async function ask(prompt: string): Promise<Locator> {
  await page.fill('#prompt', prompt);
  await page.click('#send');
  return page.locator('#transcript > li').last();
}

/** Resolves once tokens have come in, and still do. */
async function streaming(entry: Locator): Promise<void> {
  const text = () => entry.locator('.answer').innerText();
  const before = await eventually(async () => (await text()) || false);
  await eventually(async () => expect((await text()).length).toBeGreaterThan(before.length + 20));
}

const outcome = (entry: Locator) => entry.locator('.outcome').innerText();
const rows = (route: string, within = page) => within.locator(`#session-rows tr[data-route="${route}"]`);

describe('An answer', () => {
  it('streams in token by token and arrives whole', async () => {
    const entry = await ask('Latitude or Longitude?');
    await streaming(entry);
    expect(await outcome(entry)).toBe('streaming');
    await eventually(async () => expect(await outcome(entry)).toBe('complete'), 15_000);
    expect(await entry.locator('.answer').textContent()).toBe(ALICE.at(-1));
    await eventually(async () => expect(await rows('GET /api/chat/stream').first().innerText()).toContain('complete'));
  });

  it('ends with Stop, and the connection to the upstream with it', async () => {
    const { closedByClient } = await sample.upstream();
    const entry = await ask('Tell me of Alice');
    await streaming(entry);
    expect(await sample.upstream()).toMatchObject({ open: 1, closedByClient });
    await page.click('#stop');
    await eventually(async () => expect(await outcome(entry)).toBe('cancelled'));
    await eventually(async () => expect(await sample.upstream()).toMatchObject({ open: 0, closedByClient: closedByClient + 1 }));
    await eventually(async () => expect(await page.innerText('#upstream-open')).toBe('0'));
  });

  it('that nobody waits for any more, as the tab was closed, closes the connection to the upstream', async () => {
    const { closedByClient } = await sample.upstream();
    const other = await browser.newContext();
    const watcher = await open(other);
    await streaming(await ask('Tell me of Alice'));
    await page.close();
    await eventually(async () => expect(await sample.upstream()).toMatchObject({ open: 0, closedByClient: closedByClient + 1 }));
    await eventually(async () => expect(await rows('GET /api/chat/stream', watcher).first().innerText()).toContain('client-disconnect'));
    await other.close();
  });

  it('begins anew when the connection was dropped: the browser comes back by itself', async () => {
    const { closedByClient } = await sample.upstream();
    const entry = await ask('Tell me of Alice');
    await streaming(entry);
    await page.click('#drop');
    await eventually(async () => expect(await outcome(entry)).toContain('connection lost'));
    await eventually(async () => expect(await outcome(entry)).toBe('streaming'), 10_000);
    await streaming(entry);
    expect(await sample.upstream()).toMatchObject({ open: 1, closedByClient: closedByClient + 1 });
  });

  it('can be stopped by its own visitor only', async () => {
    const entry = await ask('Tell me of Alice');
    await streaming(entry);
    const path = `${sample.url}/api/chat/${await entry.getAttribute('data-key')}`;

    const stranger = await browser.newContext();
    const strangersPage = await open(stranger);
    expect(await (await stranger.request.delete(path)).json()).toEqual({ stopped: 0 });
    await streaming(entry);
    // He sees that there is a session, not whose or what it is called.
    const row = rows('GET /api/chat/stream', strangersPage).first();
    await eventually(async () => expect(await row.innerText()).toContain('open'));
    expect(await row.innerText()).not.toContain('yours');
    await stranger.close();

    expect(await (await visitor.request.delete(path)).json()).toEqual({ stopped: 1 });
    await eventually(async () => expect(await outcome(entry)).toBe('cancelled'));
  });
});

describe('An error upstream', () => {
  it('is shown when it comes midway', async () => {
    await page.click('#fail-midway');
    const entry = page.locator('#transcript > li').last();
    await eventually(async () => expect(await outcome(entry)).toBe('error: Upstream: The model has lost its thread'));
    expect((await entry.locator('.answer').innerText()).length).toBeGreaterThan(0);
    await eventually(async () => expect(await rows('GET /api/chat/stream').first().innerText()).toContain('error'));
  });

  it('keeps its status when it comes before the first token', async () => {
    const refused = page.waitForResponse((response) => response.url().includes('/api/chat/stream'));
    await page.click('#rate-limit');
    expect((await refused).status()).toBe(429);
    const entry = page.locator('#transcript > li').last();
    await eventually(async () => expect(await outcome(entry)).toContain('429 Rate limit reached'));
  });
});

describe('The page', () => {
  it('shows a chart that moves', async () => {
    const chart = page.locator('#chart');
    const points = async () => Number(await chart.getAttribute('data-points'));
    await eventually(async () => expect(await points()).toBeGreaterThan(2));
    const before = await chart.screenshot();
    await eventually(async () => expect(await points()).toBeGreaterThan(5));
    expect((await chart.screenshot()).equals(before)).toBe(false);
    expect(await page.innerText('#cpu')).toMatch(/^\d+ %$/);
  });

  it('shows a notification to everybody, also to one who comes later', async () => {
    const other = await browser.newContext();
    const othersPage = await open(other);
    await page.fill('#notification', 'Tea is <b>served</b>');
    await page.click('#notify button');
    const last = (on: Page) => on.innerText('#feed li:first-child');
    for (const one of [page, othersPage]) await eventually(async () => expect(await last(one)).toContain('Tea is <b>served</b>'));
    await othersPage.reload();
    await eventually(async () => expect(await last(othersPage)).toContain('Tea is <b>served</b>'));
    await other.close();
  });

  it('shows what becomes of a client that does not read', async () => {
    await page.click('#slow-client');
    const row = rows('GET /api/trouble/flood').first();
    await eventually(async () => expect(await row.innerText()).toContain('slow-client'), 20_000);
    // The other streams do not notice.
    expect(await page.locator('[data-stream="metrics"]').innerText()).toBe('live');
  });
});

describe('The application', () => {
  it('refuses who has not loaded the page', async () => {
    for (const path of ['chat/stream?prompt=x', 'metrics', 'notifications', 'sessions', 'trouble/flood']) {
      expect((await fetch(`${sample.url}/api/${path}`)).status).toBe(401);
    }
  });
});
