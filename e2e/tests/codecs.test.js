import assert from 'node:assert/strict';
import { grows, play, until } from '../harness/stage.js';

const stage = play();

const camera = (codec, width = 640, height = 360, more = {}) => [
  { type: 'audio', capture: true },
  { type: 'video', capture: { width: { exact: width }, height: { exact: height } }, codec, ...more },
];

// watched ends when the subscriber has seen a second of it, and gives what it received.
async function watched(alice, bob, room, tracks) {
  const { id } = await alice.publish(room, { tracks });
  await bob.watch('sub', room, [{ feed: id }]);
  await grows('frames decoded', async () => (await bob.inbound('sub', '1')).framesDecoded ?? 0, 20);
  await until('a picture with something in it', async () => (await bob.picture('sub', '1')).contrast > 10);
  return bob.inbound('sub', '1');
}

for (const codec of ['VP8', 'VP9', 'H264', 'AV1', 'H265']) {
  stage.test(`video in ${codec}`, async t => {
    const alice = await stage.client('alice');
    if (!await alice.encodes(`video/${codec}`)) return t.skip(`this browser does not encode ${codec}`);
    const room = await stage.node.createRoom({ videocodec: codec.toLowerCase() });
    const bob = await stage.client('bob');
    const video = await watched(alice, bob, room, camera(codec.toLowerCase()));
    assert.equal(video.codec, codec);
    assert.deepEqual([video.frameWidth, video.frameHeight], [640, 360]);
  });
}

for (const [codec, mode] of [['VP9', 'L3T3'], ['VP9', 'L3T3_KEY'], ['AV1', 'L1T2'], ['AV1', 'L3T3']]) {
  stage.test(`${codec} SVC, ${mode}: the subscriber picks the spatial layer`, async t => {
    const alice = await stage.client('alice');
    const bob = await stage.client('bob');
    const room = await stage.node.createRoom({ videocodec: codec.toLowerCase() });
    await watched(alice, bob, room, camera(codec.toLowerCase(), 960, 540, { svc: mode }));
    const [layers] = await alice.outbound('pub', '1');
    assert.equal(layers.scalabilityMode, mode);
    if (mode.startsWith('L1')) return;
    const widths = { 2: 960, 1: 480, 0: 240 };
    for (const layer of [2, 1, 0, 2]) {
      const asked = performance.now();
      await bob.request('sub', { request: 'configure', streams: [{ mid: '1', spatial_layer: layer }] }, { configured: 'ok' });
      await until(`frames ${widths[layer]} wide`, async () => (await bob.inbound('sub', '1')).frameWidth === widths[layer]);
      t.diagnostic(`to spatial layer ${layer} in ${Math.round(performance.now() - asked)} ms`);
      await grows('frames decoded', async () => (await bob.inbound('sub', '1')).framesDecoded, 15);
    }
  });
}

// Rooms negotiate no RED, as Janus's do not; EchoTest does when asked.
stage.test('Opus with RED', async () => {
  const alice = await stage.client('alice');
  await alice.attach('echo', 'janus.plugin.echotest');
  await alice.offer('echo', [{ type: 'audio', capture: true, codec: 'red' }], { opusred: true, audio: true });
  await grows('audio energy', async () => (await alice.inbound('echo', '0')).totalAudioEnergy ?? 0, 1e-4);
  const { remote } = await alice.descriptions('echo');
  assert.match(remote, /^m=audio \d+ UDP\/TLS\/RTP\/SAVPF 63 111\r$/m);
  // Every packet carries the one before again, which the receiver throws away when it has that already.
  await until('redundant copies', async () => {
    const { packetsDiscarded, packetsReceived } = await alice.inbound('echo', '0');
    return packetsReceived > 50 && packetsDiscarded > packetsReceived / 2;
  });
});

stage.test('Opus with DTX', async () => {
  const room = await stage.node.createRoom({ opus_dtx: true });
  const alice = await stage.client('alice');
  const bob = await stage.client('bob');
  await alice.rewriteOffers('useinbandfec=1', 'useinbandfec=1;usedtx=1');
  const { id } = await alice.publish(room, { tracks: [{ type: 'audio', capture: true }] });
  await bob.watch('sub', room, [{ feed: id }]);
  await grows('audio energy', async () => (await bob.inbound('sub', '0')).totalAudioEnergy ?? 0, 1e-4);
  assert.match((await alice.outbound('pub', '0'))[0].fmtp, /usedtx=1/);
  // Of silence almost nothing is sent: far below the 50 packets a second of speech.
  const packets = async () => (await bob.inbound('sub', '0')).packetsReceived;
  await alice.silence('pub', '0');
  let before = 0, at = 0;
  await until('few packets', async () => {
    const [now, when] = [await packets(), performance.now()];
    if (when - at < 1000) return false;
    const rate = (now - before) * 1000 / (when - at);
    [before, at] = [now, when];
    return rate > 0 && rate < 15;
  });
});
