// Publishers that send several qualities, and subscribers that pick one.
import assert from 'node:assert/strict';
import { on, second } from '../harness/seen.js';
import { grows, play, stands, until } from '../harness/stage.js';

const stage = play();

// On a busy machine a browser's first estimate of its uplink is low, and then it takes its time to send all it could.
const patience = { within: 45_000 };

// layer asks for a layer of the video, by its name in the request, and waits until the stream is as wanted.
async function layer(t, bob, ask, what, wanted) {
  const asked = performance.now();
  await bob.request('sub', { request: 'configure', streams: [{ mid: '1', ...ask }] }, { configured: 'ok' });
  await until(what, wanted);
  t.diagnostic(`${what} after ${Math.round(performance.now() - asked)} ms`);
  await grows('frames decoded', () => on(bob, 'sub').frames(1), second / 2);
}

const simulcast = [
  { type: 'audio', capture: true },
  { type: 'video', capture: { width: { exact: 1280 }, height: { exact: 720 } }, simulcast: true,
    simulcastMaxBitrates: { high: 900_000, medium: 300_000, low: 100_000 } },
];

for (const codec of ['vp8', 'h264']) {
  stage.test(`simulcast of ${codec}: the subscriber picks the substream`, async t => {
    const room = await stage.node.createRoom({ videocodec: codec });
    const alice = await stage.client('alice');
    const bob = await stage.client('bob');
    const { id } = await alice.publish(room, { tracks: simulcast });
    const { streams } = await bob.watch('sub', room, [{ feed: id }]);
    assert.deepEqual(streams[1].simulcast && Object.keys(streams[1].simulcast).sort(),
      ['substream', 'substream-target', 'temporal-layer', 'temporal-layer-target']);

    const seen = on(bob, 'sub');
    const sizes = { 2: '1280x720', 1: '640x360', 0: '320x180' };
    await until('the highest substream', async () => await seen.size(1) === sizes[2], patience);
    assert.equal((await alice.outbound('pub', '1')).length, 3);
    for (const substream of [0, 1, 2, 0, 2]) {
      const since = await bob.count('sub');
      await layer(t, bob, { substream }, sizes[substream], async () => await seen.size(1) === sizes[substream]);
      await until('the event', async () => (await bob.messages('sub', { mid: '1', substream }, since)).length > 0);
    }
  });
}

stage.test('simulcast: its publisher does not send what nobody watches, and does at once when somebody wants to', async t => {
  const room = await stage.node.createRoom();
  const alice = await stage.client('alice');
  const bob = await stage.client('bob');
  const { id } = await alice.publish(room, { tracks: simulcast });
  await bob.watch('sub', room, [{ feed: id, substream: 0 }]);
  const sent = async rid => (await alice.outbound('pub', '1')).find(line => line.rid === rid)?.framesSent ?? 0;
  await grows('frames of the highest layer', () => sent('h'), second, patience);
  await stands('frames of the highest layer', () => sent('h'), patience);
  await grows('frames of the lowest', () => sent('l'), second);
  await layer(t, bob, { substream: 2 }, '1280x720', async () => await on(bob, 'sub').size(1) === '1280x720');
  const silent = (await alice.notices('pub')).filter(([kind, , receiving]) => kind === 'media' && !receiving);
  assert.deepEqual(silent, [], 'the publisher is not told that its video stopped');
});

// share measures from now on how much of the frames captured is received; it is a number every second, and NaN in between.
function share(alice, bob) {
  let was;
  return async () => {
    const [{ framesReceived }, [{ framesCaptured, timestamp }]] = [await bob.inbound('sub', '1'), await alice.outbound('pub', '1')];
    const now = { received: framesReceived, captured: framesCaptured, at: timestamp };
    was ??= now;
    if (now.at - was.at < 1000) return NaN;
    const part = (now.received - was.received) / (now.captured - was.captured);
    was = now;
    return part;
  };
}

// picksTemporal lets the subscriber have fewer frames, and all again.
async function picksTemporal(t, alice, bob, option) {
  const part = () => share(alice, bob);
  await until('every frame', within(part(), 0.9, 1.1));
  await layer(t, bob, { [option]: 0 }, 'some of the frames', within(part(), 0.1, 0.6));
  await layer(t, bob, { [option]: 2 }, 'every frame again', within(part(), 0.9, 1.1));
}

const within = (measure, least, most) => async () => {
  const value = await measure();
  return value >= least && value <= most;
};

stage.test('simulcast: the subscriber picks the temporal layer', async t => {
  const room = await stage.node.createRoom();
  const alice = await stage.client('alice');
  const bob = await stage.client('bob');
  const { id } = await alice.publish(room, { tracks: simulcast });
  await bob.watch('sub', room, [{ feed: id, substream: 0 }]);
  await until('the lowest substream', async () => await on(bob, 'sub').size(1) === '320x180');
  await picksTemporal(t, alice, bob, 'temporal');
});

for (const [codec, mode] of [['VP9', 'L3T3'], ['VP9', 'L3T3_KEY'], ['AV1', 'L1T2'], ['AV1', 'L3T3']]) {
  stage.test(`SVC of ${codec} in mode ${mode}: the subscriber picks the layers`, async t => {
    const room = await stage.node.createRoom({ videocodec: codec.toLowerCase() });
    const alice = await stage.client('alice');
    const bob = await stage.client('bob');
    const { id } = await alice.publish(room, { tracks: [
      { type: 'audio', capture: true },
      { type: 'video', capture: { width: { exact: 960 }, height: { exact: 540 } }, codec: codec.toLowerCase(), svc: mode },
    ] });
    const { streams } = await bob.watch('sub', room, [{ feed: id }]);
    assert.deepEqual(streams[1].svc && Object.keys(streams[1].svc).sort(),
      ['spatial-layer', 'target-spatial-layer', 'target-temporal-layer', 'temporal-layer']);
    const seen = on(bob, 'sub');
    await grows('frames decoded', () => seen.frames(1), second);
    await until('all layers are sent', async () => (await alice.outbound('pub', '1'))[0].frameWidth === 960, patience);
    assert.equal((await alice.outbound('pub', '1'))[0].scalabilityMode, mode);

    if (mode.startsWith('L3')) {
      const widths = { 2: 960, 1: 480, 0: 240 };
      for (const spatial of [2, 1, 0, 2]) {
        const since = await bob.count('sub');
        await layer(t, bob, { spatial_layer: spatial }, `${widths[spatial]} wide`,
          async () => (await seen.stats(1)).frameWidth === widths[spatial]);
        if (spatial !== 2) await until('the event', async () => (await bob.messages('sub', { mid: '1', spatial_layer: spatial }, since)).length > 0);
      }
    }
    await picksTemporal(t, alice, bob, 'temporal_layer');
  });
}
