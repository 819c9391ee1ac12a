// A node drains under a call: who is there moves to another node, and others see and hear him all the time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Regions, supported } from '../harness/regions.js';
import { until } from '../harness/until.js';

const missing = supported();
const deadline = 40; // seconds
const noticed = 500; // a gap in what others see and hear, milliseconds; two encoders on a small machine make pictures late

// enter has a page join a room.
async function enter(page, name, room) {
  await page.fill('#name', name);
  await page.fill('#room', String(room));
  await page.click('#enter');
  await page.waitForSelector('#call:not([hidden])');
}

// record has a page note when it shows a picture of somebody, and plays his sound, for as long as it is open.
function record(name) {
  const pictures = [], sounds = [], seen = new WeakSet(), heard = new Map();
  const tiles = () => [...document.querySelectorAll(`.tile[aria-label="${name}"]:not(.coming)`)];
  const shown = video => tiles().some(t => t.contains(video));
  const look = () => {
    for (const video of tiles().map(t => t.querySelector('video'))) {
      if (!video || seen.has(video)) continue;
      seen.add(video);
      const frame = now => {
        if (shown(video)) pictures.push(now);
        video.requestVideoFrameCallback(frame);
      };
      video.requestVideoFrameCallback(frame);
    }
  };
  const listen = () => {
    look();
    for (const tile of tiles()) {
      const video = tile.querySelector('video'), track = video?.srcObject?.getAudioTracks()[0];
      const receiver = track && !video.muted && window.connections.flatMap(c => c.getReceivers()).find(r => r.track === track);
      for (const { source, timestamp } of receiver?.getSynchronizationSources() ?? []) {
        if (heard.get(source) !== timestamp) sounds.push(performance.now());
        heard.set(source, timestamp);
      }
    }
  };
  setInterval(listen, 10);
  const gap = (times, since) => times.filter(t => t >= since).reduce((g, t, i, all) => Math.max(g, i === 0 ? t - since : t - all[i - 1]), 0);
  window.recorded = since => ({ pictures: pictures.length, sounds: sounds.length, picture: gap(pictures, since), sound: gap(sounds, since), last: performance.now() - Math.max(...pictures) });
}

test('a node drains under a call', { skip: missing ? `no regions here: ${missing}` : false, timeout: 180_000 }, async t => {
  let directory, regions, failed = true;
  t.after(async () => {
    await regions?.stop();
    if (!failed) await rm(directory, { recursive: true, force: true });
  });
  directory = await mkdtemp(join(tmpdir(), 'cardea-drain-'));
  regions = await Regions.start(directory, 1);
  const [here, there] = ['eu', 'us'].map(site => regions.nodes.find(n => n.site === site));
  const room = 7010;
  const mover = await regions.page(here), watcher = await regions.page(there);
  await watcher.addInitScript(() => {
    window.connections = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...args) {
        super(...args);
        window.connections.push(this);
      }
    };
  });
  await watcher.reload();
  await enter(watcher, 'Watcher', room);
  await enter(mover, 'Mover', room);
  await watcher.waitForSelector('.tile[aria-label="Mover"]');
  await watcher.evaluate(record, 'Mover');
  const recorded = (since = 0) => watcher.evaluate(s => window.recorded(s), since);
  await until('the watcher sees and hears the mover', async () => {
    const r = await recorded();
    return r.pictures > 60 && r.sounds > 100;
  }, { within: 40_000 });
  // What this machine makes of a call in which nothing happens is what the other figures are to be held against.
  const now = () => watcher.evaluate(() => performance.now());
  const calm = await now();
  await new Promise(resolve => setTimeout(resolve, 6_000));
  const before = await recorded(calm);
  t.diagnostic(`with nothing going on the picture stands still for ${before.picture.toFixed(0)} ms at most, and the sound for ${before.sound.toFixed(0)} ms`);

  const since = await now();
  const began = performance.now();
  const after = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  regions.drain(here, `${deadline}s`);
  await here.exited;
  t.diagnostic(`the node ended after ${after()}`);
  const took = (performance.now() - began) / 1000;
  const r = await recorded(since);
  t.diagnostic(`as others see it the picture stood still for ${r.picture.toFixed(0)} ms at most, and the sound for ${r.sound.toFixed(0)} ms`);
  assert.equal(here.child.exitCode, 0);
  assert.ok(took < deadline, `the node waited for ${took} s: nobody moved`);
  assert.ok(r.picture < noticed + before.picture && r.sound < noticed + before.sound, JSON.stringify(r));
  const { last } = await recorded();
  assert.ok(last < noticed, `the last picture is of ${last} ms ago`);
  // He sees others as well, and knows nothing of it.
  assert.equal(await mover.isVisible('#notice'), false);
  assert.equal(await mover.locator('.tile').count(), 2);
  assert.equal(await watcher.locator('.tile').count(), 2);
  failed = false;
});
