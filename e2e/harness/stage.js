// A stage is what a file of tests plays on: one node, one browser, and a page for each client, all gone afterwards.
import { after, before, test } from 'node:test';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { CardeaNode } from './node.js';
import { serve } from './site.js';
import { grows, stands, until } from './until.js';

export const flags = [
  '--no-sandbox', // the tests run as root in containers
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--auto-accept-this-tab-capture',
];

// play sets the stage before the file's tests and clears it after them. Options: `node` for cardea.yaml, `flags` more
// for Chromium.
export function play(options = {}) {
  const stage = new Stage();
  before(async () => {
    stage.directory = await mkdtemp(join(tmpdir(), 'cardea-e2e-'));
    stage.site = await serve();
    stage.node = await CardeaNode.start(stage.directory, await options.node?.(stage) ?? {});
    stage.browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: [...flags, ...options.flags ?? []],
    });
  }, { timeout: 30_000 });
  after(async () => {
    await stage.browser?.close();
    await stage.site?.close();
    await stage.node?.stop().catch(err => { stage.failed = true; throw err; });
    if (!stage.failed) await rm(stage.directory, { recursive: true, force: true });
  }, { timeout: 30_000 });
  return stage;
}

class Stage {
  failed = false;
  clients = [];

  // test is node's, with the pages opened in it closed after it, and with everything known written down if it fails.
  test(name, options, run = options) {
    const { timeout = 120_000, ...others } = options === run ? {} : options;
    test(name, { timeout, ...others }, async t => {
      try {
        await run(t);
      } catch (err) {
        this.failed = true;
        const folder = await this.#record(name);
        err.message += `\nsee ${folder}`;
        throw err;
      } finally {
        await Promise.all(this.clients.splice(0).map(client => client.close()));
      }
    });
  }

  // client opens a page with a session on the node. Options are those of janus.js. What is called on it is called on the
  // page's client (page/client.js).
  async client(name, options = {}) {
    const client = await this.#page(name, 'client');
    await client.connect({ server: this.node.ws, ...options });
    return client;
  }

  // peer opens a page with nothing but a PeerConnection (page/peer.js).
  peer(name) { return this.#page(name, 'peer'); }

  async #page(name, kind) {
    const context = await this.browser.newContext();
    const page = await context.newPage();
    const lines = [];
    page.on('console', message => lines.push(`${message.type()} ${message.text()}`));
    page.on('pageerror', err => lines.push(`uncaught ${err.stack}`));
    await page.goto(this.site.url);
    await page.waitForFunction('window.loaded');
    const own = { name, page, lines, close: () => context.close() };
    const client = new Proxy(own, {
      get: (_, method) => method in own ? own[method] : method === 'then' ? undefined
        : (...args) => page.evaluate(([kind, method, args]) => window[kind][method](...args), [kind, method, args]),
    });
    this.clients.push(client);
    return client;
  }

  async #record(name) {
    const folder = join(this.directory, name.replaceAll(/\W+/g, '-'));
    await mkdir(folder, { recursive: true });
    for (const client of this.clients) {
      await writeFile(join(folder, `${client.name}.console.txt`), client.lines.join('\n'));
      const record = await client.record().catch(err => ({ unknown: err.message }));
      await writeFile(join(folder, `${client.name}.json`), JSON.stringify(record, null, 1));
      await client.page.screenshot({ path: join(folder, `${client.name}.png`) }).catch(() => {});
    }
    return folder;
  }
}

export { grows, stands, until };
