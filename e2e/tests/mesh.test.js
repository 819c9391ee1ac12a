// One room in three regions: each browser talks to the node beside it, and nobody can tell.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Regions, supported } from '../harness/regions.js';
import { heard, on, second } from '../harness/seen.js';
import { grows, until } from '../harness/until.js';

const missing = supported();

test('three regions, one room', { skip: missing ? `no regions here: ${missing}` : false, timeout: 240_000 }, async t => {
  let directory, regions, failed = true;
  t.after(async () => {
    await regions?.stop();
    if (!failed) await rm(directory, { recursive: true, force: true });
  });
  directory = await mkdtemp(join(tmpdir(), 'cardea-mesh-'));
  regions = await Regions.start(directory, 3);
  const people = [];
  for (const site of ['eu', 'us', 'ap']) {
    // Not the first node of each region: what makes the room and what joins it differ.
    const node = regions.nodes.find(n => n.name === `${site}${people.length + 1}`);
    people.push({ site, node, client: await regions.client(site, node) });
  }
  const room = 7007;
  await people[0].client.attach('admin');
  await people[0].client.request('admin', { request: 'create', room, publishers: 10 }, { videoroom: 'created' });
  for (const person of people) person.id = (await person.client.publish(room)).id;
  await t.test('everybody decodes everybody', async () => {
    for (const person of people) {
      for (const other of people.filter(p => p !== person)) {
        const handle = `from-${other.site}`;
        await until(`${person.site} knows of ${other.site}`, async () => {
          const { participants } = await person.client.request('pub', { request: 'listparticipants', room }, { videoroom: 'participants' });
          return participants.some(p => p.id === other.id && p.publisher);
        });
        await person.client.watch(handle, room, [{ feed: other.id }]);
        const seen = on(person.client, handle);
        await grows(`frames of ${other.site} at ${person.site}`, () => seen.frames(1), second);
        await grows(`sound of ${other.site} at ${person.site}`, () => seen.energy(0), heard);
      }
    }
  });
  await t.test('the chat arrives once and in order', async () => {
    const lines = Array.from({ length: 20 }, (_, i) => `line ${i}`);
    for (const person of people) {
      await until('the data channel', async () => (await person.client.opened('pub')).length > 0);
      for (const text of lines) await person.client.say('pub', text);
    }
    for (const person of people) {
      for (const other of people.filter(p => p !== person)) {
        const got = () => person.client.received(`from-${other.site}`);
        await until(`what ${other.site} says at ${person.site}`, async () => (await got()).length >= lines.length);
        assert.deepEqual((await got()).map(m => m.text), lines);
      }
    }
  });
  failed = false;
});
