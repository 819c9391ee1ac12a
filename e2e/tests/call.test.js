import assert from 'node:assert/strict';
import { grows, play, until } from '../harness/stage.js';

const stage = play();

stage.test('publish and watch', async () => {
  const room = await stage.node.createRoom();
  const alice = await stage.client('alice');
  const bob = await stage.client('bob');
  const { id } = await alice.publish(room);
  const { streams } = await bob.watch('sub', room, [{ feed: id }]);
  assert.deepEqual(streams.map(s => s.type), ['audio', 'video', 'data']);

  await grows('frames decoded', async () => (await bob.inbound('sub', '1')).framesDecoded ?? 0, 30);
  const video = await bob.inbound('sub', '1');
  assert.deepEqual([video.frameWidth, video.frameHeight], [640, 480]);
  await until('a picture with something in it', async () => (await bob.picture('sub', '1')).contrast > 10);
  await grows('audio energy', async () => (await bob.inbound('sub', '0')).totalAudioEnergy ?? 0, 1e-4);

  await until('the data channel', async () => (await alice.opened('pub')).length > 0);
  await alice.say('pub', 'hello');
  const message = await until('the message', async () => (await bob.received('sub'))[0]);
  assert.deepEqual(message, { label: String(id), text: 'hello' });
});
