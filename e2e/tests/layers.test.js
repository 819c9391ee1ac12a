// Publishers that send several qualities, and subscribers that pick one.
import assert from 'node:assert/strict';
import { on, second } from '../harness/seen.js';
import { grows, play, until } from '../harness/stage.js';

const stage = play();

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
    await until('the highest substream', async () => await seen.size(1) === sizes[2], { within: 20_000 });
    assert.equal((await alice.outbound('pub', '1')).length, 3);
    for (const substream of [0, 1, 2, 0, 2]) {
      const since = await bob.count('sub');
      await layer(t, bob, { substream }, sizes[substream], async () => await seen.size(1) === sizes[substream]);
      await until('the event', async () => (await bob.messages('sub', { mid: '1', substream }, since)).length > 0);
    }
  });
}

// share gives how much of the frames sent is received, by the rates of the last second.
const share = (alice, bob, rid) => async () => {
  const [received, sent] = [await bob.inbound('sub', '1'), await alice.outbound('pub', '1')];
  return (received.framesPerSecond ?? 0) / sent.find(encoding => encoding.rid === rid).framesPerSecond;
};

stage.test('simulcast: the subscriber picks the temporal layer', async t => {
  const room = await stage.node.createRoom();
  const alice = await stage.client('alice');
  const bob = await stage.client('bob');
  const { id } = await alice.publish(room, { tracks: simulcast });
  await bob.watch('sub', room, [{ feed: id, substream: 0 }]);
  await until('the lowest substream', async () => await on(bob, 'sub').size(1) === '320x180');
  const part = share(alice, bob, 'l');
  await until('every frame', async () => await part() >= 0.9);
  await layer(t, bob, { temporal: 0 }, 'half the frames', async () => { const p = await part(); return p > 0.3 && p < 0.7; });
  await layer(t, bob, { temporal: 2 }, 'every frame again', async () => await part() >= 0.9);
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
    const part = share(alice, bob);
    await until('every frame', async () => await part() >= 0.9);
    await layer(t, bob, { temporal_layer: 0 }, 'few of the frames', async () => { const p = await part(); return p > 0.1 && p < 0.7; });
    await layer(t, bob, { temporal_layer: 2 }, 'every frame again', async () => await part() >= 0.9);
  });
}
