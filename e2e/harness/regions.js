// Regions with oceans between them (see ../wan), nodes in each, and a browser at each: what the mesh is for.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createWriteStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { files } from './site.js';
import { flags } from './stage.js';
import { until } from './until.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const program = process.env.CARDEA_BIN ?? join(root, 'bin/cardea');

// supported says what is missing for regions on this machine, '' for nothing.
export function supported() {
  if (process.getuid() !== 0) return 'needs root';
  if (!existsSync('/dev/net/tun')) return 'needs /dev/net/tun';
  for (const command of ['ip', 'nsenter', 'go']) {
    try {
      execFileSync('which', [command], { stdio: 'ignore' });
    } catch {
      return `needs ${command}`;
    }
  }
  return '';
}

export class Regions {
  sites = {}; // by name: {namespace, addresses}
  nodes = [];
  browsers = {};

  // start builds the three regions and starts nodes in each of the sites, all by default: the first makes the cluster, and the
  // others join it with an invitation of its. Options of cardea.yaml come on top of what every test needs. With places, by site
  // ("DE,50.11,8.68"), nodes have a database that knows where the addresses of these are.
  static async start(directory, perRegion, { sites = null, options = {}, places = null } = {}) {
    const regions = new Regions();
    regions.options = options;
    regions.directory = directory;
    const wan = join(directory, 'wan');
    execFileSync('go', ['build', '-o', wan, './e2e/wan/cmd/wan'], { cwd: root, env: { ...process.env, CGO_ENABLED: '0' } });
    regions.link = spawn(wan, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    regions.linkExited = once(regions.link, 'exit');
    process.once('exit', () => regions.link.kill());
    let text = '';
    regions.link.stdout.on('data', data => { text += data; });
    await until('the regions are there', () => text.includes('"help" lists the commands.'));
    for (const [, name, addresses, namespace] of text.matchAll(/^(\w+) +(10[\d. ]+\d) .*ip netns exec (\S+) COMMAND$/gm)) {
      regions.sites[name] = { namespace, addresses: addresses.split(' ') };
    }
    if (places) {
      const database = join(directory, 'places.mmdb');
      execFileSync('go', ['run', './e2e/internal/mmdb', database, ...Object.entries(places).map(([site, place]) =>
        `${regions.sites[site].addresses[0].replace(/\.\d+\.\d+$/, '.0.0/16')}=${place}`)], { cwd: root });
      regions.options = { ...options, geo: { ...options.geo, databases: [database] } };
    }
    const all = Object.entries(regions.sites).filter(([site]) => sites?.includes(site) ?? true).flatMap(([site, { addresses }]) =>
      addresses.slice(0, perRegion).map((address, i) => ({ name: `${site}${i + 1}`, site, address })));
    await regions.#launch(all[0]);
    const token = regions.#inside(all[0].site, program, 'token', '--config', all[0].config, '--uses', String(all.length)).trim();
    for (const node of all.slice(1)) await regions.#launch(node, token);
    return regions;
  }

  // inside runs a program at a site and gives what it prints.
  #inside(site, ...argv) {
    return execFileSync('ip', ['netns', 'exec', this.sites[site].namespace, ...argv], { encoding: 'utf8' });
  }

  // set changes conditions between sites: set('us>eu down=on').
  set(conditions) { this.link.stdin.write(`set ${conditions}\n`); }

  // ask gets a JSON answer from a node's console, as somebody at its site does.
  ask(node, path) {
    const program = `fetch('http://${node.address}:9600${path}').then(async answer => {
      if (!answer.ok) throw new Error(answer.status + ' ' + await answer.text());
      process.stdout.write(await answer.text());
    })`;
    return JSON.parse(this.#inside(node.site, process.execPath, '-e', program));
  }

  async #launch(node, token) {
    const directory = join(this.directory, node.name);
    await mkdir(directory, { recursive: true });
    node.config = join(directory, 'cardea.yaml');
    node.log = join(directory, 'cardea.log');
    await writeFile(node.config, JSON.stringify({
      ...this.options,
      node: { name: node.name, region: node.site, bind: node.address, data_dir: join(directory, 'data'), drain_timeout: '0s' },
      log: { level: 'info' },
      turn: { enabled: false },
      console: { allowed: ['10.0.0.0/8', '127.0.0.0/8'] },
      limits: { cpu: 0, scheduling_latency: '0s' },
    }));
    const join_ = token ? ['--join', token] : [];
    node.child = spawn('ip', ['netns', 'exec', this.sites[node.site].namespace, program, 'run', '--config', node.config, ...join_],
      { stdio: ['ignore', 'ignore', 'pipe'] });
    node.child.stderr.pipe(createWriteStream(node.log));
    node.exited = once(node.child, 'exit');
    node.url = `ws://${node.address}:8188`;
    this.nodes.push(node);
    await until(`${node.name} is ready, see ${node.log}`, async () => /msg=ready/.test(await readFile(node.log, 'utf8').catch(() => '')));
  }

  // drain has a node end when its clients are elsewhere, at the latest after a deadline ("20s").
  drain(node, deadline) { return this.#inside(node.site, program, 'drain', '--config', node.config, '--deadline', deadline).trim(); }

  // browser starts Chromium at a site, to which the nodes' pages are as good as from localhost: they get a camera.
  async browser(site) {
    const wrapper = join(this.directory, `chromium-${site}`);
    const { namespace } = this.sites[site];
    await writeFile(wrapper, `#!/bin/sh\nexec ip netns exec ${namespace} ${process.env.CHROMIUM ?? '/usr/bin/chromium'} "$@"\n`);
    await chmod(wrapper, 0o755);
    return this.browsers[site] ??= await chromium.launch({ executablePath: wrapper, args: [
      ...flags, '--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests',
      `--unsafely-treat-insecure-origin-as-secure=${this.nodes.map(n => `http://${n.address}:9600`).join(',')}`,
    ] });
  }

  // page opens the page of a node, from the node's own site or from another.
  async page(node, site = node.site) {
    const context = await (await this.browser(site)).newContext({ viewport: { width: 900, height: 600 } });
    const page = await context.newPage();
    page.on('console', m => { if (['error', 'warning'].includes(m.type())) console.error(`${node.name}: ${m.text()}`); });
    await page.goto(`http://${node.address}:9600/`);
    return page;
  }

  // client opens a page at a site, with a session on a node, if one is given. The page comes from nowhere: localhost is a secure context.
  async client(site, node) {
    const context = await (await this.browser(site)).newContext();
    const page = await context.newPage();
    await page.route('http://localhost/**', async route => {
      const [file, type] = files[new URL(route.request().url()).pathname] ?? [];
      if (!file) return route.fulfill({ status: 404 });
      return route.fulfill({ contentType: type, body: await readFile(file) });
    });
    await page.goto('http://localhost/');
    await page.waitForFunction('window.loaded');
    const client = new Proxy({ page }, {
      get: (own, method) => method in own ? own[method] : method === 'then' ? undefined
        : (...args) => page.evaluate(([method, args]) => window.client[method](...args), [method, args]),
    });
    if (node) await client.connect({ server: node.url });
    return client;
  }

  // stop ends the browsers, the nodes, which must end well, and the regions.
  async stop() {
    for (const browser of Object.values(this.browsers)) await browser.close();
    const faults = [];
    for (const node of this.nodes) {
      if (node.child.exitCode === null && node.child.signalCode === null) {
        node.child.kill('SIGTERM');
        const [code] = await node.exited;
        if (code !== 0) faults.push(`${node.name} ended with ${code}, see ${node.log}`);
      }
      faults.push(...((await readFile(node.log, 'utf8')).match(/^.*(level=ERROR|panic).*$/gm) ?? []));
    }
    this.link.stdin.end('quit\n');
    await this.linkExited;
    if (faults.length > 0) throw new Error(faults.join('\n'));
  }
}
