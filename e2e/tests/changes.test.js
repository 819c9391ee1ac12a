// A call that changes while it goes on: subscriptions come and go, streams are added, connections break.
import assert from 'node:assert/strict';
import { heard, on, second } from '../harness/seen.js';
import { grows, play, stands, until } from '../harness/stage.js';
import { Wire } from '../harness/wire.js';

const stage = play({ flags: ['--auto-select-tab-capture-source-by-title=Cardea'] });

// publishers are some who send pictures of different sizes, to tell them apart by. They open the one fake camera in turn:
// who opens it together gets it in one size.
async function publishers(room, sizes) {
  const all = [];
  for (const [name, [width, height]] of Object.entries(sizes)) {
    const client = await stage.client(name);
    const { id } = await client.publish(room, { tracks: await client.camera(width, height) });
    all.push({ client, id });
  }
  return all;
}

const mLines = async client => (await client.descriptions('sub')).remote.match(/^m=/gm).length;

stage.test('subscriptions are added and removed, and their lines used again', async () => {
  const room = await stage.node.createRoom();
  const [alice, carol] = await publishers(room, { alice: [640, 480], carol: [320, 240] });
  const bob = await stage.client('bob');
  await bob.watch('sub', room, [{ feed: alice.id }]);
  const seen = on(bob, 'sub');
  await grows('frames of alice', () => seen.frames(1), second);
  assert.equal(await mLines(bob), 3);

  const { streams } = await bob.request('sub', { request: 'subscribe', streams: [{ feed: carol.id }] }, { videoroom: 'updated' });
  const line = streams.find(s => s.type === 'video' && s.feed_id === carol.id);
  await grows('frames of carol', () => seen.frames(line.mid), second);
  assert.equal(await seen.size(line.mid), '320x240');
  await grows('frames of alice, still', () => seen.frames(1), second);
  assert.equal(await mLines(bob), 5, 'data is shared');

  await bob.request('sub', { request: 'unsubscribe', streams: [{ feed: alice.id }] }, { videoroom: 'updated' });
  await until('her lines are inactive', async () => {
    const directions = await bob.directions('sub');
    return directions[0] === 'inactive' && directions[1] === 'inactive';
  });
  await grows('frames of carol, still', () => seen.frames(line.mid), second);

  await bob.request('sub', { request: 'subscribe', streams: [{ feed: alice.id }] }, { videoroom: 'updated' });
  await until('her lines are used again', async () => (await bob.directions('sub'))[1] === 'recvonly');
  await grows('frames of alice, again', () => seen.frames(1), second);
  await grows('sound of alice, again', () => seen.energy(0), heard);
  assert.equal(await mLines(bob), 5);

  for (const { client, id } of [alice, carol]) {
    await client.say('pub', `from ${id}`);
    await until('the message', async () => (await bob.received('sub')).some(m => m.label === String(id) && m.text === `from ${id}`));
  }
});

stage.test('a switch to another publisher needs no negotiation', async t => {
  const room = await stage.node.createRoom();
  const [alice, carol] = await publishers(room, { alice: [640, 480], carol: [320, 240] });
  const bob = await stage.client('bob');
  await bob.watch('sub', room, [{ feed: alice.id, mid: '0' }, { feed: alice.id, mid: '1' }]);
  const seen = on(bob, 'sub');
  await grows('frames of alice', () => seen.frames(1), second);
  const { remote } = await bob.descriptions('sub');

  for (const [to, size] of [[carol, '320x240'], [alice, '640x480'], [carol, '320x240']]) {
    const asked = performance.now();
    await bob.request('sub', {
      request: 'switch',
      streams: [{ feed: to.id, mid: '0', sub_mid: '0' }, { feed: to.id, mid: '1', sub_mid: '1' }],
    }, { switched: 'ok' });
    await until(`frames of ${size}`, async () => await seen.size(1) === size);
    t.diagnostic(`switched in ${Math.round(performance.now() - asked)} ms`);
    await grows('frames', () => seen.frames(1), second);
    await grows('audio energy', () => seen.energy(0), heard);
  }
  assert.equal((await bob.descriptions('sub')).remote, remote);
  const { packetsLost, freezeCount } = await seen.stats(1);
  t.diagnostic(`lost ${packetsLost}, freezes ${freezeCount}`);
  assert.equal(packetsLost, 0);
});

stage.test('a screen as second stream of one connection', async () => {
  const room = await stage.node.createRoom();
  const [alice] = await publishers(room, { alice: [640, 480] });
  const bob = await stage.client('bob');
  await bob.watch('sub', room, [{ feed: alice.id }]);
  const seen = on(bob, 'sub');
  await grows('frames of the camera', () => seen.frames(1), second);

  await bob.attach('pub');
  await bob.request('pub', { request: 'join', ptype: 'publisher', room }, { videoroom: 'joined' });
  await alice.client.animate();
  await alice.client.offer('pub', [{ type: 'screen', capture: true }], { request: 'configure', descriptions: [{ mid: '3', description: 'screen' }] });
  const news = what => until('news of the screen', async () => {
    const publishers = (await bob.messages('pub')).flatMap(m => m.publishers ?? []).filter(p => p.id === alice.id);
    return publishers.map(p => p.streams[3]).find(what);
  });
  const screen = await news(stream => stream);
  assert.deepEqual([screen.type, screen.mid, screen.description], ['video', '3', 'screen']);

  const { streams } = await bob.request('sub', { request: 'subscribe', streams: [{ feed: alice.id, mid: '3' }] }, { videoroom: 'updated' });
  const { mid } = streams.find(s => s.feed_mid === '3');
  await grows('frames of the screen', () => seen.frames(mid), 5);
  await until('a picture of it', async () => await seen.contrast(mid) > 5);
  await grows('frames of the camera', () => seen.frames(1), second);

  await alice.client.offer('pub', [{ type: 'screen', mid: '3', remove: true }]);
  await news(stream => stream?.disabled);
  await stands('frames of the screen', () => seen.frames(mid));
  await bob.request('sub', { request: 'unsubscribe', streams: [{ feed: alice.id, mid: '3' }] }, { videoroom: 'updated' });
  await until('its line is inactive', async () => (await bob.directions('sub'))[mid] === 'inactive');
  await grows('frames of the camera', () => seen.frames(1), second);
});

stage.test('ICE restarts on both sides', async () => {
  const room = await stage.node.createRoom();
  const [alice] = await publishers(room, { alice: [640, 480] });
  const bob = await stage.client('bob');
  await bob.watch('sub', room, [{ feed: alice.id }]);
  const seen = on(bob, 'sub');
  await grows('frames', () => seen.frames(1), second);
  const ufrag = async (client, handle) => /a=ice-ufrag:(.*)/.exec((await client.descriptions(handle)).remote)[1];

  const published = await ufrag(alice.client, 'pub');
  await alice.client.offer('pub', [], { request: 'configure' }, { iceRestart: true });
  assert.notEqual(await ufrag(alice.client, 'pub'), published);
  await until('the publisher is connected', async () => await alice.client.state('pub') === 'connected');
  await grows('frames', () => seen.frames(1), second);

  const subscribed = await ufrag(bob, 'sub');
  await bob.request('sub', { request: 'configure', restart: true }, { configured: 'ok' });
  await until('other credentials', async () => await ufrag(bob, 'sub') !== subscribed);
  await until('the subscriber is connected', async () => await bob.state('sub') === 'connected');
  await grows('frames', () => seen.frames(1), second);
});

stage.test('a broken connection is taken up again', async () => {
  const room = await stage.node.createRoom();
  const [alice] = await publishers(room, { alice: [640, 480] });
  const wire = await Wire.lay(stage.node.address, 8188);
  try {
    const bob = await stage.client('bob', { server: wire.url });
    await bob.watch('sub', room, [{ feed: alice.id }]);
    const seen = on(bob, 'sub');
    await grows('frames', () => seen.frames(1), second);
    const session = await bob.sessionId();

    wire.cut();
    await until('janus.js notices', async () => await bob.lostBecause() !== null);
    await grows('frames without signaling', () => seen.frames(1), 2 * second);
    await bob.reconnect();
    assert.equal(await bob.sessionId(), session);
    await bob.request('sub', { request: 'pause' }, { paused: 'ok' });
    await stands('frames decoded', () => seen.frames(1));
    await bob.request('sub', { request: 'start' }, { started: 'ok' });
    await grows('frames', () => seen.frames(1), second);
  } finally {
    wire.close();
  }
});

stage.test('who vanishes without a goodbye is gone after the time to reclaim', async () => {
  const room = await stage.node.createRoom();
  const [alice] = await publishers(room, { alice: [640, 480] });
  const bob = await stage.client('bob');
  await bob.attach('pub');
  await bob.request('pub', { request: 'join', ptype: 'publisher', room }, { videoroom: 'joined' });
  await bob.watch('sub', room, [{ feed: alice.id }]);
  await grows('frames', () => on(bob, 'sub').frames(1), second);
  await alice.client.close();
  await until('the room is told', async () => (await bob.messages('pub', { leaving: alice.id })).length > 0, { within: 20_000 });
  await until('its line is inactive', async () => (await bob.directions('sub'))[1] === 'inactive');
});
