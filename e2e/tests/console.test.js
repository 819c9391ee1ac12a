// The pages for operators, as a person uses them, with a mesh of 100 nodes and 10,000 rooms that e2e/console makes up.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { flags } from '../harness/stage.js';
import { until } from '../harness/until.js';

const password = 'open sesame';
const allHands = '#/room/janus.plugin.videoroom/1234';
let folder, program, browser;
const servers = [];

// serve starts a console and returns the address of its pages.
async function serve(...options) {
  const server = spawn(program, options, { stdio: ['pipe', 'pipe', 'inherit'] });
  servers.push(server);
  const line = await new Promise(resolve => { server.stdout.once('data', resolve); });
  return `http://${String(line).trim()}/console/`;
}

let base;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cardea-console-'));
  program = join(folder, 'console');
  await promisify(execFile)('go', ['build', '-o', program, '.'], { cwd: new URL('../console', import.meta.url) });
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });
  base = await serve('-password', password);
}, { timeout: 180_000 });

after(async () => {
  await browser?.close();
  for (const server of servers) server.stdin.end();
  await rm(folder, { recursive: true, force: true });
});

const desktop = { width: 1440, height: 900 }, phone = { width: 390, height: 844 };

// visit opens a page; what it says on the console or throws is an error of the test.
async function visit(t, hash, { viewport = desktop, colorScheme = 'light', address = base, prepare } = {}) {
  const context = await browser.newContext({ viewport, colorScheme, locale: 'en-US' });
  t.after(() => context.close());
  const page = await context.newPage();
  const lines = [];
  page.on('console', message => lines.push(`${message.type()} ${message.text()}`));
  page.on('pageerror', err => lines.push(`uncaught ${err.stack}`));
  await prepare?.(page);
  await page.goto(address + hash);
  page.clean = () => assert.deepEqual(lines.filter(line => /^(error|uncaught|warning)/.test(line)), []);
  return page;
}

async function signIn(page) {
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByLabel('Password').fill(password);
  await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: 'Sign out' }).waitFor();
}

const rows = (page, table) => page.locator(`${table} tbody tr`);
const counts = async (page, table, n) => until(`${n} rows in ${table}`, async () => await rows(page, table).count() === n);

test('100 nodes: the map, the table, and one node', async t => {
  const page = await visit(t, '#/');
  await counts(page, '#nodes', 100);
  assert.match(await page.innerText('#summary'), /100\s+nodes[\s\S]*1 silent, 2 draining[\s\S]*links[\s\S]*47,\d+\s+clients/);
  const marks = await page.locator('.mark .count').allTextContents();
  const shown = marks.reduce((n, text) => n + (Number(text) || 1), 0);
  assert.equal(shown, 100, 'each node is on the map once');
  assert.ok((await page.getAttribute('.line.busy-good', 'd')).length > 1000);
  assert.ok((await page.getAttribute('.line.busy-bad', 'd')).length > 10);

  await page.getByLabel('Search nodes').fill('US-east draining');
  await counts(page, '#nodes', 1);
  assert.match(await rows(page, '#nodes').first().innerText(), /waits for 45 clients, 1 TURN relay, 1 stream for another node/);
  await page.getByLabel('Search nodes').fill('');
  await page.getByRole('button', { name: 'From here' }).click();
  await page.getByRole('button', { name: 'From here' }).click();
  await until('the nearest first', async () => (await rows(page, '#nodes').first().innerText()).includes('this node'));

  await page.getByRole('link', { name: 'fra-1.edge.example' }).click();
  await until('the node in the panel', async () => (await page.innerText('#panel')).includes('fra0000000000000'));
  assert.ok((await page.getAttribute('.line.own', 'd')).length > 10);
  await page.getByLabel('Close').click();
  await page.locator('input[value=delay]').check({ force: true });
  await until('links by delay', async () => (await page.innerText('#panel')).includes('Longest links'));
  page.clean();
});

test('bringing 100 nodes up to date takes little of the main thread', async t => {
  const page = await visit(t, '#/');
  const took = await until('five updates', () => page.evaluate(() => {
    const all = performance.getEntriesByName('cardea.update').map(e => e.duration);
    return all.length > 5 && all.slice(1);
  }), { within: 60_000 });
  t.diagnostic(`milliseconds: ${took.map(ms => ms.toFixed(1)).join(' ')}`);
  assert.ok(Math.min(...took) < 20, `${took}`); // the least: the others are those of a machine that does other things, too
});

test('10,000 rooms: pages, order and search', async t => {
  const page = await visit(t, '#/rooms');
  await counts(page, '#room-list', 50);
  assert.equal(await page.innerText('#room-count'), '10,000');
  assert.match(await rows(page, '#room-list').first().innerText(), /All hands\s+1234\s+137/);
  await page.getByRole('button', { name: 'Next' }).click();
  await until('the second page', async () => await page.innerText('#rooms-where') === '51 to 100 of 10,000');
  await page.getByRole('button', { name: 'Room', exact: true }).click();
  await until('by id, from the start', async () => await page.innerText('#rooms-where') === '1 to 50 of 10,000'
    && /1236\s+\d+\s+\d+\+\s+\d+\+/.test(await rows(page, '#room-list').nth(2).innerText()));
  await page.getByLabel('Search rooms').fill('community-96');
  await until('those of a community', async () => await page.innerText('#room-count') === '103 of 10,000');

  // What somebody has called a room is text.
  await page.getByLabel('Search rooms').fill('onerror');
  await counts(page, '#room-list', 1);
  assert.match(await rows(page, '#room-list').first().innerText(), /<img src=x onerror=/);
  await page.getByRole('link', { name: '<img' }).click();
  await until('the room', async () => (await page.innerText('#room-title')).includes('<b>bold</b>'));
  assert.equal(await page.locator('main img, main b:not(#summary b), main i').count(), 0);
  assert.notEqual(await page.title(), 'broken');
  page.clean();
});

test('one room: who is in it, how it goes, and the routes', async t => {
  const page = await visit(t, allHands);
  await counts(page, '#people', 50);
  assert.match(await page.innerText('#room-facts'), /1234 · 137 participants · 137 of at most 200 publishers · 274 subscribers · community-0 · kept by gru-1/);
  assert.match(await page.innerText('#routes'), /→[\s\S]*streams of/);
  await until('routes on the map', async () => (await page.getAttribute('#room-map .line.route', 'd') ?? '').length > 100);
  assert.ok(await page.locator('#people .spark').count() > 100);
  assert.ok(await page.locator('#people .number.bad').count() > 0);
  await page.getByLabel('Search participants').fill('ada');
  await until('those of that name', async () => /^\d+ of 137$/.test(await page.innerText('#people-count')));
  await page.goto(`${base}#/room/janus.plugin.videoroom/1236`);
  await until('what is missing is said', async () => (await page.innerText('#room')).includes('no answer in time'));
  page.clean();
});

test('draining and removing need the password', async t => {
  const page = await visit(t, allHands);
  await counts(page, '#people', 50);
  assert.equal(await page.getByRole('button', { name: 'Remove' }).count(), 0);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByLabel('Password').fill('guess');
  await page.keyboard.press('Enter');
  await page.getByText('That is not the password.').waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await signIn(page);

  const first = rows(page, '#people').first();
  const id = /^\d+/.exec(await first.locator('th .notes').innerText())[0];
  await first.getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await page.getByText(/ was removed\.$/).waitFor();
  await until('who was removed is gone', async () => !(await page.innerText('#people')).includes(id));

  await page.goto(`${base}#/`);
  await page.getByRole('button', { name: 'Drain jnb-2.edge.example' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Drain' }).click();
  await page.getByRole('button', { name: 'Take back jnb-2.edge.example' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Take back' }).click();
  await page.getByRole('button', { name: 'Drain jnb-2.edge.example' }).waitFor();
  await page.reload(); // the cookie lasts
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('button', { name: 'Sign in' }).waitFor();
  assert.equal(await page.getByRole('button', { name: /^Drain/ }).count(), 0);
});

test('without a password there is nothing to sign in to; without places, a ring', async t => {
  const page = await visit(t, '#/', { address: await serve('-nodes', '5', '-rooms', '3', '-unplaced') });
  await counts(page, '#nodes', 5);
  assert.equal(await page.locator('.mark').count(), 5);
  assert.equal(await page.getByRole('button', { name: /Sign in|Drain/ }).count(), 0);
  page.clean();
});

test('who may not see anything is asked for the token', async t => {
  const page = await visit(t, '#/', {
    prepare: p => p.route('**/api/v1/**', route => (route.request().headers().authorization === 'Bearer right' ? route.continue({ headers: {} })
      : route.fulfill({ status: 401, body: 'the console’s token is needed' }))),
  });
  for (const [token, then] of [['wrong', 'That is not the token.'], ['right', '100']]) {
    await page.getByLabel('Token').fill(token);
    await page.getByRole('button', { name: 'Show' }).click();
    await page.getByText(then).first().waitFor();
  }
  await counts(page, '#nodes', 100);
});

for (const [what, options] of Object.entries({
  'phone in the dark': { viewport: phone, colorScheme: 'dark' }, 'desktop in the light': { viewport: desktop, colorScheme: 'light' },
})) {
  test(`nothing is cut off, small or pale on a ${what}`, async t => {
    const page = await visit(t, '#/', options);
    await signIn(page);
    for (const [hash, ready] of [['#/', '#nodes tbody tr'], ['#/rooms', '#room-list tbody tr'], [allHands, '#people tbody tr'], ['#/node/fra0000000000000', '#panel .facts']]) {
      await page.goto(base + hash);
      await page.locator(ready).first().waitFor();
      const faults = await page.evaluate(touch => {
        const name = e => `${e.tagName} ${e.id || e.getAttribute('class') || ''} ${e.textContent.slice(0, 30)}`;
        const seen = [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.closest('svg, .skip, .visually-hidden, .brand span'));
        const wide = seen.filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => `wide: ${name(e)}`);
        const small = seen.filter(e => e.matches('button, select, input:not([type=checkbox], [type=radio])') && e.getBoundingClientRect().height < touch)
          .map(e => `small: ${name(e)} ${e.getBoundingClientRect().height}`);
        const parts = colour => colour.match(/[\d.]+/g).map(Number);
        const luminance = ([r, g, b]) => [r, g, b].map(v => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4))
          .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const ground = e => {
          for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor;
            if (/^rgb\(/.test(c)) return parts(c);
          }
          return [255, 255, 255];
        };
        const pale = seen.filter(e => e.children.length === 0 && e.textContent.trim() && !e.closest(':disabled, .talking')).filter(e => {
          const a = luminance(parts(getComputedStyle(e).color)), b = luminance(ground(e));
          return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
        }).map(e => `pale: ${name(e)}`);
        return [...wide, ...small, ...pale].slice(0, 20);
      }, options.viewport === phone ? 44 : 34);
      assert.deepEqual(faults, [], hash);
    }
    page.clean();
  });
}
