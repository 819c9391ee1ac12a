// Codecs and their variants go through the node as they are.
import assert from 'node:assert/strict';
import { heard, on, second } from '../harness/seen.js';
import { grows, play, until } from '../harness/stage.js';

const stage = play();

for (const codec of ['VP8', 'VP9', 'H264', 'AV1', 'H265']) {
  stage.test(`video in ${codec}`, async t => {
    const alice = await stage.client('alice');
    if (!await alice.encodes(`video/${codec}`)) return t.skip(`this browser does not encode ${codec}`);
    const room = await stage.node.createRoom({ videocodec: codec.toLowerCase() });
    const bob = await stage.client('bob');
    const { id } = await alice.publish(room, {
      tracks: [{ type: 'video', capture: { width: { exact: 640 }, height: { exact: 360 } }, codec: codec.toLowerCase() }],
    });
    const { streams } = await bob.watch('sub', room, [{ feed: id }]);
    assert.equal(streams[0].codec, codec.toLowerCase());
    const seen = on(bob, 'sub');
    await grows('frames decoded', () => seen.frames(0), second);
    await until('a picture with something in it', async () => await seen.contrast(0) > 10);
    assert.equal((await seen.stats(0)).codec, codec);
    assert.equal(await seen.size(0), '640x360');
  });
}

// Every packet carries the one before again, which the receiver throws away when it has that already.
const redundant = (client, handle) => until('redundant copies', async () => {
  const { packetsDiscarded, packetsReceived } = await client.inbound(handle, '0');
  return packetsReceived > 50 && packetsDiscarded > packetsReceived / 2;
});

// Rooms take RED, ask for it if they are told to, and pass it on to those who know it.
stage.test('Opus with RED', async () => {
  const room = await stage.node.createRoom({ opus_red: true });
  const alice = await stage.client('alice');
  const bob = await stage.client('bob');
  const { id } = await alice.publish(room, { tracks: [{ type: 'audio', capture: true }] });
  await bob.watch('sub', room, [{ feed: id }]);
  await grows('audio energy', () => on(bob, 'sub').energy(0), heard);
  assert.match((await alice.descriptions('pub')).remote, /^m=audio \d+ UDP\/TLS\/RTP\/SAVPF 63 111\r$/m);
  assert.match((await bob.descriptions('sub')).remote, /^m=audio \d+ UDP\/TLS\/RTP\/SAVPF 120 111\r$/m);
  await redundant(bob, 'sub');
});

// Who prefers Opus, as browsers do unless told otherwise, sends just that.
stage.test('Opus beside RED', async () => {
  const room = await stage.node.createRoom();
  const alice = await stage.client('alice');
  await alice.publish(room, { tracks: [{ type: 'audio', capture: true }] });
  assert.match((await alice.descriptions('pub')).remote, /^m=audio \d+ UDP\/TLS\/RTP\/SAVPF 111 63\r$/m);
  await until('packets of Opus', async () => (await alice.outbound('pub', '0'))[0].packetsSent > 50);
  assert.equal((await alice.outbound('pub', '0'))[0].codec, 'opus');
});

// EchoTest does when asked.
stage.test('Opus with RED in EchoTest', async () => {
  const alice = await stage.client('alice');
  await alice.attach('echo', 'janus.plugin.echotest');
  await alice.offer('echo', [{ type: 'audio', capture: true, codec: 'red' }], { opusred: true, audio: true });
  await grows('audio energy', () => on(alice, 'echo').energy(0), heard);
  const { remote } = await alice.descriptions('echo');
  assert.match(remote, /^m=audio \d+ UDP\/TLS\/RTP\/SAVPF 63 111\r$/m);
  await redundant(alice, 'echo');
});

stage.test('Opus with DTX', async () => {
  const room = await stage.node.createRoom({ opus_dtx: true });
  const alice = await stage.client('alice');
  const bob = await stage.client('bob');
  await alice.rewriteOffers('useinbandfec=1', 'useinbandfec=1;usedtx=1');
  const { id } = await alice.publish(room, { tracks: [{ type: 'audio', capture: true }] });
  await bob.watch('sub', room, [{ feed: id }]);
  await grows('audio energy', () => on(bob, 'sub').energy(0), heard);
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
