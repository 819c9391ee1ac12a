// A call as most have it: people in a room who send and watch, mute each other, come and go.
import assert from 'node:assert/strict';
import { heard, on, second } from '../harness/seen.js';
import { grows, play, stands, until } from '../harness/stage.js';

const stage = play();

// pair is a publisher and a subscriber of all it sends.
async function pair(room, { tracks, streams = {} } = {}) {
  const alice = await stage.client('alice');
  const bob = await stage.client('bob');
  const { id } = await alice.publish(room, { tracks });
  const attached = await bob.watch('sub', room, [{ feed: id, ...streams }]);
  return { alice, bob, id, attached, seen: on(bob, 'sub') };
}

async function flows(seen) {
  await grows('frames decoded', () => seen.frames(1), second);
  await grows('audio energy', () => seen.energy(0), heard);
}

stage.test('publish and watch: picture, sound, chat', async () => {
  const { alice, bob, id, attached, seen } = await pair(await stage.node.createRoom());
  assert.deepEqual(attached.streams.map(s => s.type), ['audio', 'video', 'data']);
  await flows(seen);
  assert.equal(await seen.size(1), '640x480');
  await until('a picture with something in it', async () => await seen.contrast(1) > 10);
  const { sum } = await bob.picture('sub', '1');
  await until('another picture', async () => (await bob.picture('sub', '1')).sum !== sum);

  await until('the data channel', async () => (await alice.opened('pub')).length > 0);
  await alice.say('pub', 'hello');
  const message = await until('the message', async () => (await bob.received('sub'))[0]);
  assert.deepEqual(message, { label: String(id), text: 'hello' });
});

stage.test('the same over HTTP with long polls', async () => {
  const room = await stage.node.createRoom();
  const alice = await stage.client('alice', { server: stage.node.http });
  const bob = await stage.client('bob', { server: stage.node.http });
  const { id } = await alice.publish(room);
  await bob.watch('sub', room, [{ feed: id }]);
  await flows(on(bob, 'sub'));
  await alice.destroy();
  await until('the line of the one who left is inactive', async () => (await bob.directions('sub'))[1] === 'inactive');
});

stage.test('echo', async () => {
  const alice = await stage.client('alice');
  await alice.attach('echo', 'janus.plugin.echotest');
  await alice.offer('echo', undefined, { audio: true, video: true });
  const seen = on(alice, 'echo');
  await flows(seen);
  assert.equal(await seen.size(1), '640x480');
  await until('the data channel', async () => (await alice.opened('echo')).length > 0);
  await alice.say('echo', 'hello');
  const message = await until('the message', async () => (await alice.received('echo'))[0]);
  assert.equal(message.text, 'Janus EchoTest here! You wrote: hello');

  await alice.request('echo', { video: false }, { result: 'ok' });
  await stands('frames while video is off', () => seen.frames(1));
  await grows('audio energy', () => seen.energy(0), heard);
  await alice.request('echo', { video: true }, { result: 'ok' });
  await grows('frames decoded', () => seen.frames(1), second);
});

stage.test('a moderator mutes audio and video', async () => {
  const room = await stage.node.createRoom({ secret: 'gavel' });
  const { alice, id, seen } = await pair(room);
  await flows(seen);
  const moderate = (mid, mute) => stage.node.request({ request: 'moderate', secret: 'gavel', room, id, mid, mute });

  await moderate('0', true);
  await until('the muted one is told', async () => (await alice.messages('pub', { id, mid: '0', moderation: 'muted' })).length > 0);
  await stands('audio packets', async () => (await seen.stats(0)).packetsReceived);
  await stands('audio energy', () => seen.energy(0));
  await grows('frames decoded', () => seen.frames(1), second);

  await moderate('1', true);
  await stands('frames decoded', () => seen.frames(1));

  await moderate('0', false);
  await moderate('1', false);
  await flows(seen);
  const { packetsLost } = await seen.stats(1);
  assert.equal(packetsLost, 0, 'a mute is no loss');
});

stage.test('a publisher keeps to the bitrate asked of it', async () => {
  const { alice, seen } = await pair(await stage.node.createRoom());
  await flows(seen);
  const target = async () => (await alice.outbound('pub', '1'))[0].targetBitrate;
  await until('an ordinary bitrate', async () => await target() > 600_000);
  await alice.request('pub', { request: 'configure', bitrate: 150_000 }, { configured: 'ok' });
  await until('what was asked', async () => await target() <= 150_000);
  await flows(seen);
  await alice.request('pub', { request: 'configure', bitrate: 0 }, { configured: 'ok' });
  await until('an ordinary bitrate again', async () => await target() > 600_000, { within: 30_000 });
});

// Two videos, since the limit is for all that a publisher sends.
stage.test('a room that caps its bitrate holds it, whatever a publisher asks for; another lets it ask for more', async t => {
  const alice = await stage.client('alice');
  const camera = { type: 'video', capture: { width: { exact: 640 }, height: { exact: 480 } } };
  const total = async (mids, what) => {
    const lines = await Promise.all(mids.map(mid => alice.outbound('pub', mid)));
    return lines.flat().reduce((sum, line) => sum + (line[what] ?? 0), 0);
  };
  const room = await stage.node.createRoom({ bitrate: 200_000, bitrate_cap: true });
  await alice.publish(room, { tracks: [camera, camera], configure: { bitrate: 2_000_000 } });
  const mids = ['0', '1'];
  await until('what the room allows', async () => {
    const target = await total(mids, 'targetBitrate');
    return target > 0 && target <= 200_000;
  });
  await alice.request('pub', { request: 'configure', bitrate: 0 }, { configured: 'ok' });
  const began = performance.now(), before = await total(mids, 'bytesSent');
  await until('a look at what is sent', () => performance.now() - began > 1000);
  const rate = 8000 * (await total(mids, 'bytesSent') - before) / (performance.now() - began);
  t.diagnostic(`${Math.round(rate / 1000)} kbit/s are sent`);
  assert.ok(rate < 220_000, `${rate} bit/s are sent where 200,000 are the most`);
  assert.ok(await total(mids, 'targetBitrate') <= 200_000);
  await alice.detach('pub');

  const other = await stage.node.createRoom({ bitrate: 200_000 });
  await alice.publish(other, { tracks: [camera, camera] });
  await until('what the room says', async () => {
    const target = await total(mids, 'targetBitrate');
    return target > 0 && target <= 200_000;
  });
  await alice.request('pub', { request: 'configure', bitrate: 2_000_000 }, { configured: 'ok' });
  await until('more than the room says', async () => await total(mids, 'targetBitrate') > 300_000, { within: 30_000 });
});

// The fake microphone beeps for 20 ms at a time: the average level is near that of silence, 127.
stage.test('who talks is told', async () => {
  const room = await stage.node.createRoom({ audiolevel_event: true, audio_active_packets: 50, audio_level_average: 126 });
  const { alice, bob, id } = await pair(room);
  await bob.attach('pub');
  await bob.request('pub', { request: 'join', ptype: 'publisher', room }, { videoroom: 'joined' });
  await until('news of her talking', async () => (await bob.messages('pub', { videoroom: 'talking', id, mid: '0' })).length > 0);
  await alice.silence('pub', '0');
  await until('news of her silence', async () => (await bob.messages('pub', { videoroom: 'stopped-talking', id, mid: '0' })).length > 0);
});

stage.test('pause and start', async () => {
  const room = await stage.node.createRoom();
  const { bob, seen } = await pair(room);
  await flows(seen);
  await bob.request('sub', { request: 'pause' }, { paused: 'ok' });
  await stands('frames decoded', () => seen.frames(1));
  await stands('audio energy', () => seen.energy(0));
  await bob.request('sub', { request: 'start' }, { started: 'ok' });
  await flows(seen);
});

stage.test('one line off and on again', async () => {
  const { bob, seen } = await pair(await stage.node.createRoom());
  await flows(seen);
  await bob.request('sub', { request: 'configure', streams: [{ mid: '1', send: false }] }, { configured: 'ok' });
  await stands('frames decoded', () => seen.frames(1));
  await grows('audio energy', () => seen.energy(0), heard);
  await bob.request('sub', { request: 'configure', streams: [{ mid: '1', send: true }] }, { configured: 'ok' });
  await grows('frames decoded', () => seen.frames(1), second);
});

// The encoder makes a keyframe only when asked, so that what a late joiner sees first is what the node kept or asked for.
stage.test('a late joiner sees at once', async t => {
  const { bob, id, seen, attached: { room } } = await pair(await stage.node.createRoom());
  await grows('frames decoded', () => seen.frames(1), 5 * second);
  const { keyFramesDecoded } = await seen.stats(1);
  const times = [];
  for (let i = 0; i < 3; i++) {
    const late = await stage.client(`late ${i}`);
    const { at } = await late.watch('sub', room, [{ feed: id }]);
    const shown = await until('the first frame', () => late.firstFrame('sub', '1'));
    times.push(Math.round(shown - at));
  }
  t.diagnostic(`from "attached" to the first frame on display: ${times.join(', ')} ms`);
  assert.ok(Math.min(...times) < 1000, `${times}`);
  t.diagnostic(`keyframes the first subscriber got meanwhile: ${(await seen.stats(1)).keyFramesDecoded - keyFramesDecoded}`);
  await grows('frames of the first subscriber', () => on(bob, 'sub').frames(1), second);
});

stage.test('who leaves is gone for the others', async () => {
  const room = await stage.node.createRoom();
  const { alice, bob, id, seen } = await pair(room);
  await bob.attach('pub');
  await bob.request('pub', { request: 'join', ptype: 'publisher', room, display: 'Bob' }, { videoroom: 'joined' });
  await flows(seen);

  await alice.request('pub', { request: 'unpublish' }, { unpublished: 'ok' });
  await until('others are told of the unpublishing', async () => (await bob.messages('pub', { unpublished: id })).length > 0);
  await until('the subscriber gets an offer without it', async () => (await bob.messages('sub', { videoroom: 'updated' })).length > 0);
  await until('its lines are inactive', async () => Object.values(await bob.directions('sub')).every(d => d === 'inactive'));

  await alice.request('pub', { request: 'leave' }, { leaving: 'ok' });
  await until('others are told of the leaving', async () => (await bob.messages('pub', { leaving: id })).length > 0);
});

stage.test('who is kicked is cut off', async () => {
  const room = await stage.node.createRoom();
  const { alice, bob, id, seen } = await pair(room);
  await flows(seen);
  await stage.node.request({ request: 'kick', room, id });
  await until('the kicked one is told', async () => (await alice.messages('pub', { leaving: 'ok', reason: 'kicked' })).length > 0);
  await until('its call is over', async () => await alice.state('pub') === 'none');
  await until('its lines are inactive', async () => (await bob.directions('sub'))[1] === 'inactive');
});

stage.test('five people watch each other without a freeze', async t => {
  const room = await stage.node.createRoom();
  const names = ['alice', 'bob', 'carol', 'dave', 'erin'];
  const people = await Promise.all(names.map(async name => {
    const client = await stage.client(name);
    const { id } = await client.publish(room, { tracks: await client.camera(320, 240, 15) });
    return { client, id };
  }));
  const lines = await Promise.all(people.map(async ({ client, id }) => {
    const others = people.filter(other => other.id !== id);
    const { streams } = await client.watch('sub', room, others.map(other => ({ feed: other.id })));
    return streams.filter(s => s.type === 'video').map(s => ({ client, mid: s.mid }));
  })).then(all => all.flat());
  assert.equal(lines.length, 20);

  const stats = ({ client, mid }) => client.inbound('sub', mid);
  await Promise.all(lines.map(line => until('the first frames', async () => (await stats(line)).framesDecoded >= second)));
  // A machine that does other things too makes browsers stumble: one stretch of ten seconds must be without a freeze.
  const ten = async () => {
    const before = await Promise.all(lines.map(stats));
    const began = performance.now();
    await until('ten seconds', () => performance.now() - began >= 10_000, { within: 20_000 });
    const after = await Promise.all(lines.map(stats));
    const grown = key => after.map((stats, i) => stats[key] - before[i][key]);
    const [frames, freezes, lost] = ['framesDecoded', 'freezeCount', 'packetsLost'].map(grown);
    t.diagnostic(`ten seconds: ${Math.min(...frames)} to ${Math.max(...frames)} frames, ${freezes.filter(Boolean).length} of 20 froze`);
    assert.ok(lost.every(n => n === 0), `lost ${lost}`);
    return freezes.every(n => n === 0) && Math.min(...frames) > 100;
  };
  await until('ten seconds without a freeze', ten, { within: 50_000 });
});
