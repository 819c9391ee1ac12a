// A browser finds the node that serves it best: by itself, with nothing but stand-ins for nodes, and across oceans.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { follow, NearestError, nearest, order } from '../../geo/nearest.js';
import { Regions, supported } from '../harness/regions.js';
import { on, second } from '../harness/seen.js';
import { grows } from '../harness/until.js';

// stand is a server that answers as f says, and its address.
async function stand(t, f) {
  const server = createServer(f);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => new Promise(resolve => { server.close(resolve); server.closeAllConnections(); }));
  return `http://127.0.0.1:${server.address().port}`;
}

// slow is a node of which each answer takes so many ms; -1: it never answers.
const slow = (t, ms) => stand(t, async (_, response) => {
  if (ms < 0) return;
  await pause(ms);
  response.writeHead(204).end();
});

const node = (id, probe, more) => ({ id, name: id, janus: [`wss://${id}`], probe, ice_servers: [], rtt_ms: 50, extra_ms: 0, ...more });
const names = nodes => nodes.map(n => n.id).join(' ');

test('the module by itself', { timeout: 60_000 }, async t => {
  const [fast, medium, far, dead] = await Promise.all([5, 300, 900, -1].map(ms => slow(t, ms)));
  const refuses = await stand(t, (_, response) => response.writeHead(503).end());
  await t.test('the one that answers first', async () => {
    const found = await order([node('far', far), node('medium', medium), node('fast', fast)]);
    assert.equal(found[0].id, 'fast');
    assert.ok(found[0].measured);
  });
  await t.test('what counts beside the distance', async () => {
    const found = await order([node('medium', medium), node('fast', fast, { extra_ms: 1500 })]);
    assert.equal(names(found), 'medium fast');
  });
  await t.test('the order of the list where there is no difference', async () => {
    const found = await order([node('medium', medium), node('fast', fast)], { spread: 2000 });
    assert.equal(names(found), 'medium fast');
  });
  await t.test('nodes that are dead cost little time', async () => {
    const began = performance.now();
    const found = await order([node('dead', dead), node('gone', 'http://127.0.0.1:9'), node('fast', fast)], { deadline: 20_000 });
    assert.equal(found[0].id, 'fast');
    assert.deepEqual(new Set(['dead', 'gone']), new Set(found.slice(1).filter(n => n.silent).map(n => n.id)));
    assert.ok(performance.now() - began < 10_000, 'it waited for the dead one');
  });
  await t.test('the next ones if none of the first answers', async () => {
    const found = await order([node('dead', dead), node('refuses', refuses), node('fast', fast)], { probes: 2, deadline: 1000 });
    assert.equal(names(found), 'fast dead refuses');
  });
  await t.test('the list as it is if nobody answers at all', async () => {
    assert.equal(names(await order([node('b', dead), node('a', refuses)], { deadline: 100 })), 'b a');
  });
  await t.test('no sensible number of probes', async () => {
    for (const probes of [0, -1, NaN, 0.5, '1']) {
      const found = await order([node('refuses', refuses), node('fast', fast)], { probes });
      assert.equal(names(found), 'fast refuses', `${probes}`);
    }
  });
  await t.test('where to ask, one after the other', async () => {
    const asked = [];
    const lists = await stand(t, (request, response) => {
      asked.push(request.url);
      response.end(JSON.stringify({ client: { by: 'address' }, nodes: [node('far', far), node('fast', fast)], probes: 3, spread_ms: 5, ttl_s: 600 }));
    });
    const found = await nearest({ url: [dead + '/nearest', refuses + '/nearest', lists + '/nearest'], room: 12, hint: '50,8', deadline: 2000 });
    assert.equal(found.node.id, 'fast');
    assert.deepEqual(found.server, ['wss://fast', 'wss://far']);
    assert.deepEqual(asked, ['/nearest?room=12&hint=50%2C8']);
    assert.ok(found.expires > Date.now() + 500_000);
  });
  await t.test('around the best one, where nothing tells where the browser is', async () => {
    const asked = [];
    const lists = await stand(t, (request, response) => {
      asked.push(request.url);
      const hinted = request.url.includes('hint=medium');
      response.end(JSON.stringify({
        client: { by: hinted ? 'hint' : '' }, probes: hinted ? 3 : 2, spread_ms: 5, ttl_s: 600,
        nodes: hinted ? [node('medium', medium), node('fast', fast)] : [node('far', far), node('medium', medium), node('fast', fast)],
      }));
    });
    assert.equal((await nearest({ url: lists + '/nearest' })).node.id, 'fast');
    assert.deepEqual(asked, ['/nearest', '/nearest?hint=medium']);
  });
  await t.test('another of the region, in place of one that is silent', async () => {
    const lists = await stand(t, (_, response) => response.end(JSON.stringify({
      client: { by: '' }, probes: 2, spread_ms: 5, ttl_s: 600,
      nodes: [node('us1', medium, { region: 'us' }), node('eu1', dead, { region: 'eu' }), node('us2', medium, { region: 'us' }), node('eu2', fast, { region: 'eu' })],
    })));
    assert.equal((await nearest({ url: lists + '/nearest' })).node.id, 'eu2');
  });
  await t.test('errors', async () => {
    await assert.rejects(nearest({ url: refuses + '/nearest' }), NearestError);
    await assert.rejects(nearest({ url: [refuses + '/nearest', dead + '/nearest'], deadline: 300 }), NearestError);
    const stop = new AbortController();
    const waiting = nearest({ url: dead + '/nearest', signal: stop.signal });
    stop.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
  });
});

// deadly is a node that lists itself and another one, and does as told: it `works`, is `silent`, behind a `proxy` though not there, or
// `wrong`: all fails but its probe.
async function deadly(t, other) {
  const own = { mode: 'works', watched: 0 };
  own.url = await stand(t, (request, response) => {
    if (own.mode === 'silent') return;
    if (own.mode === 'proxy') return response.writeHead(502).end();
    if (request.url.startsWith('/probe')) return response.writeHead(204).end();
    if (own.mode === 'wrong') return request.socket.destroy();
    if (!request.url.startsWith('/nearest/watch')) return response.end(listing(node('own', `${own.url}/probe`), ...other));
    own.watched++; // it is held back
    own.held = response;
  });
  return own;
}

const listing = (...nodes) => JSON.stringify({ client: { by: 'address' }, nodes, probes: 3, spread_ms: 5, ttl_s: 600 });

test('a client of a node that is gone', { timeout: 60_000 }, async t => {
  const closed = [];
  const start = async (t, { alone = false } = {}) => {
    const other = await stand(t, async (request, response) => {
      if (alone) return request.socket.destroy();
      await own.network;
      return request.url.startsWith('/nearest') ? response.end(listing(node('own', `${own.url}/probe`), node('other', `${other}/probe`))) : response.writeHead(204).end();
    });
    const own = await deadly(t, [node('other', `${other}/probe`)]);
    own.trouble = new EventTarget();
    const opened = [], stop = new AbortController();
    own.next = new Promise(resolve => {
      own.done = follow({
        node: { probe: `${own.url}/probe` }, url: `${own.url}/nearest`, session: () => 1, trouble: own.trouble, signal: stop.signal,
        open: ({ node }, gone) => { opened.push({ id: node.id, gone }); return 'former'; },
        close: former => { closed.push(former); resolve(opened); },
      });
    });
    t.after(async () => {
      stop.abort();
      await own.done;
    });
    while (own.watched === 0) await pause(10);
    return { own, opened, next: own.next };
  };
  const rings = (own, how) => {
    own.mode = how;
    own.trouble.dispatchEvent(new Event('trouble'));
  };
  await t.test('it does not answer any more, and another one does', async t => {
    const { own, next } = await start(t);
    rings(own, 'silent');
    assert.deepEqual(await next, [{ id: 'other', gone: true }]);
    assert.deepEqual(closed, ['former']);
  });
  await t.test('the connection broke', async t => {
    const { own, next } = await start(t);
    own.mode = 'silent';
    own.held.destroy();
    assert.deepEqual(await next, [{ id: 'other', gone: true }]);
  });
  await t.test('a proxy is left of it', async t => {
    const { own, next } = await start(t);
    rings(own, 'proxy');
    assert.deepEqual(await next, [{ id: 'other', gone: true }]);
  });
  await t.test('it was the network, and what was on its way is lost', async t => {
    const { own, opened } = await start(t);
    own.network = pause(1700);
    rings(own, 'silent');
    await own.network;
    own.mode = 'works';
    const before = own.watched;
    while (own.watched === before) await pause(10);
    assert.deepEqual(opened, []);
  });
  await t.test('it answers, though not as it should', async t => {
    const { own, opened } = await start(t);
    rings(own, 'wrong');
    await pause(3000);
    assert.deepEqual(opened, []);
    const before = own.watched;
    own.mode = 'works';
    while (own.watched === before) await pause(10); // and is listened to again
  });
  await t.test('nobody answers', async t => {
    const { own, opened } = await start(t, { alone: true });
    rings(own, 'silent');
    await pause(4000);
    assert.deepEqual(opened, []);
    own.mode = 'works';
    const before = own.watched;
    while (own.watched === before) await pause(10); // the network is back
  });
});

const missing = supported();

test('from Frankfurt to Virginia and back', { skip: missing ? `no regions here: ${missing}` : false, timeout: 240_000 }, async t => {
  let directory, regions, failed = true;
  t.after(async () => {
    await regions?.stop();
    if (!failed) await rm(directory, { recursive: true, force: true });
  });
  directory = await mkdtemp(join(tmpdir(), 'cardea-nearest-'));
  regions = await Regions.start(directory, 2);
  const [eu, us] = ['eu', 'us'].map(site => regions.nodes.filter(n => n.site === site));
  const module = `http://${us[0].address}:9600/nearest.js`; // as the page of a node in Virginia has it
  const client = await regions.client('eu');
  const found = await client.nearest(module, {});
  await t.test('the nearest of the world, which nobody knows beforehand', () => {
    assert.equal(found.node.region, 'eu');
    assert.ok(found.node.measured && found.node.rtt_ms < 40, `${found.node.rtt_ms} ms`);
  });
  const room = 4711;
  await client.connect({ server: found.server });
  await client.attach('admin');
  await client.request('admin', { request: 'create', room, publishers: 10 }, { videoroom: 'created' });
  await t.test('media in Frankfurt', async () => {
    const { id } = await client.publish(room);
    await client.watch('self', room, [{ feed: id }]);
    await grows('frames', () => on(client, 'self').frames(1), second);
    for (const handle of ['pub', 'self']) {
      const { remote } = await client.path(handle);
      assert.ok(eu.some(n => n.address === remote.address), `${handle} has its media at ${remote.address}`);
    }
  });
  await t.test('the room draws others towards it', async () => {
    const list = await client.page.evaluate(async url => (await fetch(url)).json(), `http://${us[0].address}:9600/nearest?room=${room}`);
    const extra = site => Math.min(...list.nodes.filter(n => n.region === site).map(n => n.extra_ms));
    assert.ok(extra('eu') + 30 < extra('us') && extra('eu') + 30 < extra('ap'), JSON.stringify(list.nodes));
  });
  await t.test('a node that has just died', async () => {
    const victim = regions.nodes.find(n => n.name === found.node.name);
    victim.child.kill('SIGSTOP'); // it does not even refuse
    const next = await client.nearest(module, {});
    victim.child.kill('SIGCONT');
    assert.equal(next.node.region, 'eu');
    assert.notEqual(next.node.name, victim.name);
    assert.ok(next.took < 5000, `${next.took} ms`);
  });
  failed = false;
});
