// Another client library, made another way: an application server owns the session and all handles, and passes
// descriptions on to browsers that know nothing of Janus.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { EchoTest, Janode, VideoRoom } from '../harness/janode.js';
import { heard, on, second } from '../harness/seen.js';
import { grows, play, stands, until } from '../harness/stage.js';

Janode.Logger.setLevel('none');
const stage = play();

// served runs what an application server does, with a session that ends with it.
async function served(run) {
  const connection = await Janode.connect({ address: { url: stage.node.ws } });
  try {
    const session = await connection.create();
    await run(session);
    await session.destroy();
  } finally {
    await connection.close();
  }
}

stage.test('Janode: a room from its making to its end', () => served(async session => {
  const manager = await session.attach(VideoRoom);
  const { room } = await manager.create({ max_publishers: 4, description: 'Served', secret: 'gavel' });
  assert.equal((await manager.exists({ room })).exists, true);
  assert.equal((await manager.list()).list.find(r => r.room === room).description, 'Served');

  const lobby = await session.attach(VideoRoom);
  await lobby.joinPublisher({ room, display: 'Lobby' });
  const announced = once(lobby, VideoRoom.EVENT.VIDEOROOM_PUB_LIST);

  const alice = await stage.peer('alice');
  const pub = await session.attach(VideoRoom);
  const { feed } = await pub.joinPublisher({ room, display: 'Alice' });
  const published = await pub.publish({ jsep: await alice.offer() });
  assert.equal(published.jsep.type, 'answer');
  await alice.accept(published.jsep);
  const [{ publishers }] = await announced;
  assert.deepEqual(publishers.map(p => [p.feed, p.display]), [[feed, 'Alice']]);

  const bob = await stage.peer('bob');
  const sub = await session.attach(VideoRoom);
  const { jsep } = await sub.joinSubscriber({ room, feed }); // the form from before streams were listed
  assert.equal(sub.feed, feed);
  const answer = await bob.answer(jsep);
  await sub.start({ jsep: answer });
  await sub.trickle(await bob.gather());
  await sub.trickleComplete();
  const seen = on(bob, 'sub');
  await grows('frames decoded', () => seen.frames(1), second);
  await grows('audio energy', () => seen.energy(0), heard);
  assert.equal(await seen.size(1), '640x480');
  await until('a picture with something in it', async () => await seen.contrast(1) > 10);

  await sub.pause();
  await stands('frames decoded', () => seen.frames(1));
  await sub.start({});
  await grows('frames decoded', () => seen.frames(1), second);

  const { participants } = await manager.listParticipants({ room });
  assert.deepEqual(participants.map(p => [p.display, p.publisher]).sort(), [['Alice', true], ['Lobby', false]]);

  const gone = once(lobby, VideoRoom.EVENT.VIDEOROOM_KICKED);
  const hungUp = once(pub, Janode.EVENT.HANDLE_HANGUP);
  const updated = once(sub, VideoRoom.EVENT.VIDEOROOM_UPDATED);
  await manager.kick({ room, feed, secret: 'gavel' });
  assert.equal((await gone)[0].feed, feed);
  await hungUp;
  const [{ jsep: without }] = await updated;
  assert.equal(without.sdp.match(/^a=inactive\r?$/gm).length, 2);

  const over = once(lobby, VideoRoom.EVENT.VIDEOROOM_DESTROYED);
  await manager.destroy({ room, secret: 'gavel' });
  assert.equal((await over)[0].room, room);
}));

stage.test('Janode: errors are those of Janus', () => served(async session => {
  const handle = await session.attach(VideoRoom);
  await assert.rejects(handle.joinPublisher({ room: 1 }), { _code: 426 });
  const room = await stage.node.createRoom({ pin: 'door' });
  await assert.rejects(handle.joinPublisher({ room }), { _code: 429 });
  await assert.rejects(handle.joinPublisher({ room, pin: 'window' }), { _code: 433 });
  await assert.rejects(handle.joinSubscriber({ room, pin: 'door', streams: [{ feed: 1 }] }), { _code: 428 });
  await handle.joinPublisher({ room, pin: 'door' });
  await assert.rejects(handle.joinPublisher({ room, pin: 'door' }), { _code: 425 });
}));

stage.test('Janode: echo', () => served(async session => {
  const alice = await stage.peer('alice');
  const echo = await session.attach(EchoTest);
  const { jsep } = await echo.start({ audio: true, video: true, jsep: await alice.offer() });
  await alice.accept(jsep);
  const seen = on(alice, 'echo');
  await grows('frames decoded', () => seen.frames(1), second);
  await grows('audio energy', () => seen.energy(0), heard);
}));
