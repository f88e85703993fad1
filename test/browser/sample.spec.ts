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
/** Asks for the last paragraph alone, which takes some seconds. */
const SHORT = 'Latitude or Longitude?';
const WHOLE = ALICE.join('\n\n');
const LAUNCH = { executablePath: process.env.CHROMIUM_PATH ?? executablePath, args };

let sample: RunningSample;
let browser: Browser;
let visitor: BrowserContext;
let page: Page;
let callsBefore: number;
const asked: string[] = [];

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
  callsBefore = await sample.calls();
});

afterEach(async () => {
  // an answer outlives its tabs for a while
  for (const key of asked.splice(0)) await visitor.request.delete(`${sample.url}/api/chat/${key}`);
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
  return asking('#send');
}

/** Asks with a button: the one that sends, or one that makes trouble. */
async function asking(button: string, on = page): Promise<Locator> {
  await on.click(button);
  const entry = answerOn(on);
  asked.push((await entry.getAttribute('data-key')) ?? '');
  return entry;
}

const answerOn = (on: Page) => on.locator('#transcript > li').last();
const textOf = (entry: Locator) => entry.locator('.answer').textContent();
const calls = async () => (await sample.calls()) - callsBefore;

/** Resolves once tokens have come in, and still do. */
async function streaming(entry: Locator): Promise<void> {
  const text = () => entry.locator('.answer').innerText();
  const before = await eventually(async () => (await text()) || false);
  await eventually(async () => expect((await text()).length).toBeGreaterThan(before.length + 20));
}

const outcome = (entry: Locator) => entry.locator('.outcome').innerText();
const ends = (entry: Locator, how = 'complete') => eventually(async () => expect(await outcome(entry)).toBe(how), 15_000);
const rows = (route: string, within = page) => within.locator(`#session-rows tr[data-route="${route}"]`);

describe('An answer', () => {
  it('streams in token by token and arrives whole', async () => {
    const entry = await ask(SHORT);
    await streaming(entry);
    expect(await outcome(entry)).toBe('streaming');
    await ends(entry);
    expect(await textOf(entry)).toBe(ALICE.at(-1));
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

  it('goes on where it was when the connection was dropped: the browser comes back by itself', async () => {
    const entry = await ask(SHORT);
    await streaming(entry);
    await page.click('#drop');
    await eventually(async () => expect(await outcome(entry)).toContain('connection lost'));
    await ends(entry);
    expect(await textOf(entry)).toBe(ALICE.at(-1));
    expect(await calls()).toBe(1);
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

describe('An answer that is come back to', () => {
  it('goes on where it was when the page is reloaded midway', async () => {
    await streaming(await ask(SHORT));
    await page.reload();
    const entry = answerOn(page);
    // at once, and not only what came since
    expect(ALICE.at(-1)).toContain(await textOf(entry));
    expect((await textOf(entry))?.length).toBeGreaterThan(20);
    await streaming(entry);
    await ends(entry);
    expect(await textOf(entry)).toBe(ALICE.at(-1));
    expect(await calls()).toBe(1);
  });

  it('begins with its beginning on a page that has nothing of it but the key', async () => {
    await streaming(await ask(SHORT));
    // in the page, which this file's types know nothing of
    await page.evaluate(`{
      const { key, question, fault } = JSON.parse(localStorage.getItem('answer'));
      addEventListener('pagehide', () => localStorage.setItem('answer', JSON.stringify({ key, question, fault })));
    }`);
    const request = page.waitForRequest((one) => one.url().includes('/api/chat/stream'));
    await page.reload();
    expect((await request).url()).not.toContain('lastEventId');
    await ends(answerOn(page));
    expect(await textOf(answerOn(page))).toBe(ALICE.at(-1));
    expect(await calls()).toBe(1);
  });

  it('goes on also when the page is reloaded before the first token', async () => {
    await page.fill('#prompt', SHORT);
    await asking('#slow-start');
    await eventually(async () => expect(await sample.upstream()).toMatchObject({ open: 1 }));
    for (let times = 0; times < 2; times++) {
      await page.reload();
      expect(await outcome(answerOn(page))).toBe('waiting for the first token');
    }
    await ends(answerOn(page));
    expect(await textOf(answerOn(page))).toBe(ALICE.at(-1));
    expect(await calls()).toBe(1);
  });

  it('is shown live by every tab, and none of them pushes another one out', async () => {
    const early = await open(visitor);
    await streaming(await ask('Tell me of Alice'));
    const late = await open(visitor);
    for (const tab of [page, early, late]) await streaming(answerOn(tab));
    await eventually(async () => expect(await rows('GET /api/chat/stream').first().locator('.clients').innerText()).toBe('3'));
    await late.close();
    for (const tab of [page, early]) await streaming(answerOn(tab));
    await page.close();
    await streaming(answerOn(early));
    const text = await textOf(answerOn(early));
    expect(text).toBe(WHOLE.slice(0, text?.length));
    expect(await sample.upstream()).toMatchObject({ open: 1 });
    expect(await calls()).toBe(1);
  });

  it('is stopped in all tabs, and upstream within a second', async () => {
    await streaming(await ask('Tell me of Alice'));
    const second = await open(visitor);
    await streaming(answerOn(second));
    const stoppedAt = performance.now();
    await second.click('#stop');
    await eventually(async () => expect(await sample.upstream()).toMatchObject({ open: 0 }));
    expect(performance.now() - stoppedAt).toBeLessThan(1_000);
    for (const tab of [page, second]) await ends(answerOn(tab), 'cancelled');
    expect(await calls()).toBe(1);
  });

  it('can be stopped before its first token', async () => {
    const entry = await asking('#slow-start');
    await eventually(async () => expect(await sample.upstream()).toMatchObject({ open: 1 }));
    await page.click('#stop');
    await eventually(async () => expect(await sample.upstream()).toMatchObject({ open: 0 }), 1_000);
    await ends(entry, 'cancelled');
  });

  it('is not asked for again when it is complete, nor when the page is reloaded then', async () => {
    const requests: string[] = [];
    visitor.on('request', (request) => request.url().includes('/api/chat/stream') && requests.push(request.url()));
    await ends(await ask(SHORT));
    // longer than an EventSource waits before it comes back
    await page.waitForTimeout(4_000);
    expect(requests).toHaveLength(1);
    await page.reload();
    await page.waitForTimeout(1_000);
    expect(await textOf(answerOn(page))).toBe(ALICE.at(-1));
    expect(await outcome(answerOn(page))).toBe('complete');
    expect(requests).toHaveLength(1);
    expect(await calls()).toBe(1);
  });

  it('that has ended meanwhile is got whole, and a bare EventSource is quiet after that', async () => {
    await streaming(await ask(SHORT));
    await page.goto('about:blank');
    await eventually(async () => expect(await sample.upstream()).toMatchObject({ open: 0 }), 10_000);
    await page.goto(sample.url);
    await ends(answerOn(page));
    expect(await textOf(answerOn(page))).toBe(ALICE.at(-1));

    // one that closes nothing by itself
    const statuses: number[] = [];
    page.on('response', (response) => response.url().includes('/api/chat/stream') && statuses.push(response.status()));
    await page.fill('#prompt', SHORT);
    const readyState = await page.evaluate(
      (query) =>
        new Promise<number>((resolve) => {
          const source = new EventSource(`/api/chat/stream?${query}`);
          source.onerror = () => source.readyState === EventSource.CLOSED && resolve(source.readyState);
        }),
      new URLSearchParams({ prompt: SHORT, answer: 'bare' }).toString(),
    );
    expect(readyState).toBe(2);
    expect(statuses).toEqual([200, 204]);
    expect(await calls()).toBe(2);
  }, 40_000);

  it('that cannot be gone on with, as the server has crashed, begins anew: what was shown is cleared', async () => {
    let other = await RunningSample.startBuilt();
    try {
      await page.goto(other.url);
      await page.fill('#prompt', SHORT);
      await page.click('#send');
      await streaming(answerOn(page));
      other = await other.crash();
      await ends(answerOn(page));
      expect(await textOf(answerOn(page))).toBe(ALICE.at(-1));
      expect(await other.calls()).toBe(1);
    } finally {
      await page.close();
      await other.stop();
    }
  });

  it('closes the connection to the upstream half a minute after all its tabs were closed', async () => {
    const slow = await RunningSample.startBuilt({ tokensPerSecond: 10 });
    const others = await browser.newContext();
    try {
      const watcher = await others.newPage();
      const state = () => rows('GET /api/chat/stream', watcher).first().innerText();
      for (const tab of [page, watcher]) await tab.goto(slow.url);
      await page.click('#send');
      await streaming(answerOn(page));
      await page.close();
      await eventually(async () => expect(await state()).toContain('detached'));
      await eventually(async () => expect(await slow.upstream()).toMatchObject({ open: 0, completed: 0, closedByClient: 1 }), 40_000);
      await eventually(async () => expect(await state()).toContain('client-disconnect'));
    } finally {
      await others.close();
      await slow.stop();
    }
  }, 60_000);
});

describe('An error upstream', () => {
  it('is shown when it comes midway', async () => {
    const entry = await asking('#fail-midway');
    await eventually(async () => expect(await outcome(entry)).toBe('error: Upstream: The model has lost its thread'));
    expect((await entry.locator('.answer').innerText()).length).toBeGreaterThan(0);
    await eventually(async () => expect(await rows('GET /api/chat/stream').first().innerText()).toContain('error'));
  });

  it('keeps its status when it comes before the first token', async () => {
    const refused = page.waitForResponse((response) => response.url().includes('/api/chat/stream'));
    const entry = await asking('#rate-limit');
    expect((await refused).status()).toBe(429);
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

  it('shows what becomes of a client that does not read', async () => {
    await page.click('#slow-client');
    const row = rows('GET /api/trouble/flood').first();
    await eventually(async () => expect(await row.innerText()).toContain('slow-client'), 20_000);
    // The other streams do not notice.
    expect(await page.locator('[data-stream="metrics"]').innerText()).toBe('live');
  });
});

describe('Notifications', () => {
  const feed = (on: Page) => on.locator('#feed li').allInnerTexts();
  const live = (on: Page) =>
    eventually(async () => expect(await on.locator('[data-stream="notifications"]').innerText()).toBe('live'), 10_000);

  async function notify(topic: string, text: string, from = page): Promise<void> {
    await from.selectOption('#topic', topic);
    await from.fill('#notification', text);
    await from.click('#notify button');
  }

  /** What is shown of them, the newest first. */
  const expectFeed = (on: Page, texts: string[]) =>
    eventually(async () => expect((await feed(on)).slice(0, texts.length)).toEqual(texts.map((text) => expect.stringContaining(text))));

  let others: BrowserContext;
  let other: Page;

  beforeEach(async () => {
    others = await browser.newContext();
    other = await open(others);
    await Promise.all([live(page), live(other)]);
  });

  afterEach(() => others.close());

  it('reach everybody, also who comes later, and a second tab of the same browser', async () => {
    await notify('news', 'Tea is <b>served</b>');
    await notify('orders', 'A hat, size 10/6');
    const second = await open(visitor);
    for (const one of [page, other, second]) await expectFeed(one, ['A hat, size 10/6', 'Tea is <b>served</b>']);
    await other.reload();
    await expectFeed(other, ['A hat, size 10/6', 'Tea is <b>served</b>']);
    await notify('news', 'Off with their heads', other);
    for (const one of [page, other, second]) await expectFeed(one, ['Off with their heads', 'A hat, size 10/6']);
  });

  it('that a tab has missed while it was offline, of both topics, come when it is online again', async () => {
    await notify('news', 'before');
    await expectFeed(other, ['before']);
    const before = (await feed(other)).length;
    // Chromium's emulation lets connections be that are open, and refuses new ones
    await others.setOffline(true);
    await others.request.post(`${sample.url}/api/trouble/drop`);
    await eventually(async () => expect(await other.locator('[data-stream="notifications"]').innerText()).toBe('reconnecting'));
    await notify('news', 'missed news');
    await notify('orders', 'a missed order');
    await notify('news', 'more missed news');
    await expectFeed(page, ['more missed news', 'a missed order', 'missed news', 'before']);
    // longer than it waits before it comes back
    await page.waitForTimeout(3_500);
    await expectFeed(other, ['before']);
    expect(await other.locator('[data-stream="notifications"]').innerText()).toBe('reconnecting');
    await others.setOffline(false);
    await live(other);
    await notify('orders', 'afterwards');
    await expectFeed(other, ['afterwards', 'more missed news', 'a missed order', 'missed news', 'before']);
    expect(await feed(other)).toHaveLength(Math.min(20, before + 4));
    expect((await feed(other)).join()).not.toContain('may be missing');
  });

  it('come of the chosen topics only', async () => {
    await other.uncheck('[name="topics"][value="news"]');
    await live(other);
    await notify('news', 'not for orders');
    await notify('orders', 'a dormouse');
    await expectFeed(page, ['a dormouse', 'not for orders']);
    await expectFeed(other, ['a dormouse']);
    expect((await feed(other)).join()).not.toContain('news');
    await other.check('[name="topics"][value="news"]');
    await expectFeed(other, ['a dormouse', 'not for orders']);
  });

  it('that may be missing are told of by a hint, when the server has forgotten them', async () => {
    let forgetful = await RunningSample.startBuilt();
    try {
      await other.goto(forgetful.url);
      await live(other);
      await notify('news', 'known to both', other);
      await expectFeed(other, ['known to both']);
      forgetful = await forgetful.crash();
      await expectFeed(other, ['Something may be missing here.', 'known to both']);
      await live(other);
      await notify('news', 'anew', other);
      await expectFeed(other, ['anew', 'Something may be missing here.', 'known to both']);
    } finally {
      await other.close();
      await forgetful.stop();
    }
  });
});

describe('The application', () => {
  it('refuses who has not loaded the page', async () => {
    for (const path of ['chat/stream?prompt=x', 'metrics', 'notifications', 'sessions', 'trouble/flood']) {
      expect((await fetch(`${sample.url}/api/${path}`)).status).toBe(401);
    }
  });
});
