import assert from 'node:assert/strict';
import { grows, play, until } from '../harness/stage.js';

const stage = play();

// received gives what matters of the video on mid 1 of the subscriber.
const received = async client => {
  const { frameWidth, frameHeight, framesDecoded = 0 } = await client.inbound('sub', '1');
  return { size: `${frameWidth}x${frameHeight}`, framesDecoded };
};

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

    const sizes = { 2: '1280x720', 1: '640x360', 0: '320x180' };
    await until('the highest substream', async () => (await received(bob)).size === sizes[2], { within: 20_000 });
    const layers = await alice.outbound('pub', '1');
    assert.equal(layers.length, 3);
    for (const substream of [0, 1, 2, 0, 2]) {
      const since = await bob.count('sub');
      const asked = performance.now();
      await bob.request('sub', { request: 'configure', streams: [{ mid: '1', substream }] }, { configured: 'ok' });
      await until(`frames of ${sizes[substream]}`, async () => (await received(bob)).size === sizes[substream]);
      t.diagnostic(`${codec} to substream ${substream} in ${Math.round(performance.now() - asked)} ms`);
      await until('the event', async () => (await bob.messages('sub', { mid: '1', substream }, since)).length > 0);
      await grows('frames decoded', async () => (await received(bob)).framesDecoded, 15);
    }
  });
}

stage.test('simulcast: the subscriber picks the temporal layer', async () => {
  const room = await stage.node.createRoom();
  const alice = await stage.client('alice');
  const bob = await stage.client('bob');
  const { id } = await alice.publish(room, { tracks: simulcast });
  await bob.watch('sub', room, [{ feed: id, substream: 0 }]);
  await until('the lowest substream', async () => (await received(bob)).size === '320x180');
  // share is how much of the frames sent is received, by the rates of the last second.
  const share = async () => {
    const [received, sent] = [await bob.inbound('sub', '1'), await alice.outbound('pub', '1')];
    return (received.framesPerSecond ?? 0) / sent.find(encoding => encoding.rid === 'l').framesPerSecond;
  };
  await until('every frame', async () => await share() >= 0.9);
  await bob.request('sub', { request: 'configure', streams: [{ mid: '1', temporal: 0 }] }, { configured: 'ok' });
  await until('every second frame', async () => { const s = await share(); return s > 0.3 && s < 0.7; });
  await bob.request('sub', { request: 'configure', streams: [{ mid: '1', temporal: 2 }] }, { configured: 'ok' });
  await until('every frame again', async () => await share() >= 0.9);
});
