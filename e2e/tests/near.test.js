// A browser in Frankfurt has the page of a node in Virginia: its media is at a node in Frankfurt and, when that one ends, at the next. When that
// one crashes under somebody whose page and session are in Virginia, it is there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { enter, expose, media, record, recorded } from '../harness/call.js';
import { Regions, supported } from '../harness/regions.js';
import { until } from '../harness/until.js';

const missing = supported();
const ocean = 80; // the round trip from Frankfurt to Virginia, ms
const crashed = 10_000; // the same where a node died, which the others are to find out first; 3 to 4 s on a machine with nothing else to do
const interrupted = 2000; // a gap in what others see and hear that no busy machine makes, ms; drain.test.js looks more closely

test('media in Frankfurt, with a page from Virginia', { skip: missing ? `no regions here: ${missing}` : false, timeout: 180_000 }, async t => {
  let regions, failed = true;
  const directory = await mkdtemp(join(tmpdir(), 'cardea-near-'));
  t.after(async () => {
    await regions?.stop();
    if (!failed) await rm(directory, { recursive: true, force: true });
  });
  regions = await Regions.start(directory, 2, { sites: ['eu', 'us'], places: { eu: 'DE,50.11,8.68', us: 'US,39.04,-77.49' } });
  const [frankfurt, virginia] = ['eu', 'us'].map(site => regions.nodes.filter(n => n.site === site));
  await until('Virginia knows where nodes are', () => regions.ask(virginia[0], '/api/v1/overview').nodes.every(n => n.place));

  const mover = await regions.page(virginia[0], 'eu'), watcher = await regions.page(virginia[1]);
  for (const page of [mover, watcher]) {
    await expose(page);
    await page.reload();
  }
  await enter(watcher, 'Watcher', 7020);
  await enter(mover, 'Mover', 7020);
  await record(watcher, 'Mover');
  await record(mover, 'Watcher');
  const flows = () => Promise.all([watcher, mover].map(async page => {
    const r = await recorded(page);
    return r.pictures > 60 && r.sounds > 100;
  }));
  await until('both see and hear each other', async () => (await flows()).every(Boolean), { within: 40_000 });

  const node = async page => {
    const { at, rtt } = await media(page);
    assert.equal(at.length, 1, `media at ${at}`);
    return { node: regions.nodes.find(n => n.address === at[0]), rtt };
  };
  const first = await node(mover);
  t.diagnostic(`media at ${first.node.name}, ${first.rtt.toFixed(1)} ms away`);
  assert.equal(first.node.site, 'eu');
  await until('it is near', async () => (await node(mover)).rtt < ocean); // now and then a busy machine is slower than an ocean is wide
  assert.equal((await node(watcher)).node.site, 'us');

  const since = await watcher.evaluate(() => performance.now());
  regions.drain(first.node, '40s');
  await first.node.exited;
  assert.equal(first.node.child.exitCode, 0);
  const r = await recorded(watcher, since);
  t.diagnostic(`as others see it the picture stood still for ${r.picture.toFixed(0)} ms at most, and the sound for ${r.sound.toFixed(0)} ms`);
  assert.ok(r.picture < interrupted && r.sound < interrupted && r.last < interrupted, JSON.stringify(r));
  const next = await node(mover);
  t.diagnostic(`then at ${next.node.name}, ${next.rtt.toFixed(1)} ms away`);
  assert.equal(next.node, frankfurt.find(n => n !== first.node));
  const undisturbed = async () => {
    assert.equal(await mover.isVisible('#notice'), false);
    assert.equal(await mover.locator('.tile').count(), 2);
    assert.equal(await watcher.locator('.tile').count(), 2);
  };
  await undisturbed();

  await mover.reload();
  await enter(mover, 'Mover', 7020);
  await record(mover, 'Watcher');
  const watched = (await recorded(watcher)).pictures;
  await until('both see each other once more', async () => (await recorded(mover)).pictures > 60 && (await recorded(watcher)).pictures > watched + 60, { within: 40_000 });
  await until('with media in Frankfurt', async () => (await node(mover)).node === next.node);
  const killed = await watcher.evaluate(() => performance.now()), { pictures } = await recorded(watcher);
  next.node.child.kill('SIGKILL');
  await until('the watcher sees the mover again', async () => {
    const r = await recorded(watcher);
    return r.pictures > pictures + 60 && r.last < 500;
  }, { within: 40_000 });
  const again = await recorded(watcher, killed);
  t.diagnostic(`it crashes: the picture stood still for ${again.picture.toFixed(0)} ms, and the sound for ${again.sound.toFixed(0)} ms`);
  assert.ok(again.picture < crashed && again.sound < crashed, JSON.stringify(again));
  assert.equal((await node(mover)).node.site, 'us');
  await undisturbed();
  failed = false;
});
