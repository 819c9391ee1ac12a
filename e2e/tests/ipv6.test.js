// A call over IPv6 alone. The node's media has the one IPv6 loopback address, with a port of this process.
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { heard, on, second } from '../harness/seen.js';
import { grows, play } from '../harness/stage.js';

const stage = play({ node: () => ({ media: { addresses: ['::1'], port: 20_000 + process.pid % 20_000 } }) });

// A browser offers no loopback addresses of its own: without another IPv6 address it does not use the protocol.
const capable = Object.values(networkInterfaces()).flat().some(({ family, internal, scopeid }) => family === 'IPv6' && !internal && !scopeid);

stage.test('a call over IPv6', { skip: !capable && 'this machine has no IPv6 address' }, async () => {
  const room = await stage.node.createRoom();
  const alice = await stage.client('alice');
  const bob = await stage.client('bob');
  const { id } = await alice.publish(room);
  await bob.watch('sub', room, [{ feed: id }]);
  const seen = on(bob, 'sub');
  await grows('frames decoded', () => seen.frames(1), second);
  await grows('audio energy', () => seen.energy(0), heard);
  for (const { remote } of [await alice.path('pub'), await bob.path('sub')]) assert.equal(remote.address, '::1');
});
