// A node dies under a call: who was there is back by way of another node, without doing anything.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { enter, expose, record, recorded } from '../harness/call.js';
import { Regions, supported } from '../harness/regions.js';
import { until } from '../harness/until.js';

const missing = supported();

test('a node dies under a call', { skip: missing ? `no regions here: ${missing}` : false, timeout: 240_000 }, async t => {
  let regions, failed = true;
  const directory = await mkdtemp(join(tmpdir(), 'cardea-crash-'));
  t.after(async () => {
    await regions?.stop();
    if (!failed) await rm(directory, { recursive: true, force: true });
  });
  regions = await Regions.start(directory, 2, { sites: ['eu', 'us'] });
  const [eu, us] = ['eu', 'us'].map(site => regions.nodes.filter(n => n.site === site));
  const mover = await regions.page(eu[0]), watcher = await regions.page(us[0]);
  for (const page of [mover, watcher]) {
    await expose(page);
    await page.reload();
  }
  await enter(watcher, 'Watcher', 7030);
  await enter(mover, 'Mover', 7030);
  await record(watcher, 'Mover');
  await record(mover, 'Watcher');
  const flow = (pictures, sounds) => async () => {
    const all = await Promise.all([watcher, mover].map(page => recorded(page)));
    return all.every(r => r.pictures > pictures && r.sounds > sounds && r.last < 1000);
  };
  await until('both see and hear each other', flow(60, 100), { within: 40_000 });

  // The one refuses who asks it, as a process that crashed; the other is silent, as a machine without power.
  for (const [how, signal, within] of [['crashes', 'SIGKILL', 8_000], ['falls silent', 'SIGSTOP', 25_000]]) {
    await t.test(`the node ${how}`, async t => {
      const at = () => mover.evaluate(() => document.querySelector('.tile[aria-label="Mover (you)"] .figures').innerText.replace('Now with ', ''));
      const name = await at();
      const victim = regions.nodes.find(n => n.name === name) ?? eu[0]; // which has the page: the figures tell when it is another
      assert.equal(victim.child.signalCode, null);
      t.after(() => victim.child.kill('SIGCONT')); // so that it can end
      const before = await Promise.all([watcher, mover].map(page => recorded(page)));
      const since = await watcher.evaluate(() => performance.now());
      t.diagnostic(`${victim.name} ${how}`);
      victim.child.kill(signal);
      const more = Math.max(...before.map(r => r.pictures)) + 60, sounds = Math.max(...before.map(r => r.sounds)) + 100;
      await until('both see and hear each other again', flow(more, sounds), { within: within + 30_000 });
      const r = await recorded(watcher, since);
      t.diagnostic(`as the watcher sees it the picture stood still for ${r.picture.toFixed(0)} ms, and the sound for ${r.sound.toFixed(0)} ms`);
      assert.ok(r.picture < within && r.sound < within, JSON.stringify(r));
      assert.notEqual(await at(), victim.name);
      await until('nobody is there twice', async () => await mover.locator('.tile').count() === 2 && await watcher.locator('.tile').count() === 2);
      assert.equal(await mover.isVisible('#notice'), false);
    });
  }
  failed = false;
});
