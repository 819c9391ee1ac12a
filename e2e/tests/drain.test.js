// A node drains under a call: who is there moves to another node, and others see and hear him all the time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { enter, expose, record, recorded as seen } from '../harness/call.js';
import { Regions, supported } from '../harness/regions.js';
import { until } from '../harness/until.js';

const missing = supported();
const deadline = 40; // seconds
const noticed = 500; // a gap in what others see and hear, milliseconds; two encoders on a small machine make pictures late

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
  await expose(watcher);
  await watcher.reload();
  await enter(watcher, 'Watcher', room);
  await enter(mover, 'Mover', room);
  await watcher.waitForSelector('.tile[aria-label="Mover"]');
  await record(watcher, 'Mover');
  const recorded = since => seen(watcher, since);
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
  // Figures of the node that is gone are not shown any more.
  const figures = name => mover.locator(`.tile[aria-label="${name}"] .figures`).innerText();
  await until('the page tells where he is now', async () => /^Now with (us|ap)1$/.test(await figures('Mover (you)')));
  assert.equal(await figures('Watcher'), '');
  await mover.click('#open-node');
  assert.match(await mover.innerText('#panel-title'), /^The page’s node \(your call is with (us|ap)1\)$/);
  await mover.getByText('The node cannot be reached just now.').waitFor();
  failed = false;
});
