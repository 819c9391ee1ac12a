import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { grows, play, until } from '../harness/stage.js';

// selfSigned makes a certificate for the node's address, as openssl does for people who try things out.
function selfSigned(directory) {
  const files = { certificate: join(directory, 'node.crt'), key: join(directory, 'node.key') };
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', '/CN=cardea', '-keyout', files.key, '-out', files.certificate], { stdio: 'pipe' });
  return files;
}

const stage = play({
  node: ({ directory }) => ({ turn: { users: ['caller:sesame'] }, tls: selfSigned(directory) }),
  flags: ['--ignore-certificate-errors'],
});

const relays = {
  udp: address => `turn:${address}:3478?transport=udp`,
  tcp: address => `turn:${address}:3478?transport=tcp`,
  tls: address => `turns:${address}:5349?transport=tcp`,
};

for (const [protocol, url] of Object.entries(relays)) {
  stage.test(`a call relayed by TURN over ${protocol}`, async () => {
    const relayed = {
      iceServers: [{ urls: url(stage.node.address), username: 'caller', credential: 'sesame' }],
      iceTransportPolicy: 'relay',
    };
    const room = await stage.node.createRoom();
    const alice = await stage.client('alice', relayed);
    const bob = await stage.client('bob', relayed);
    const { id } = await alice.publish(room);
    await bob.watch('sub', room, [{ feed: id }]);
    await grows('frames decoded', async () => (await bob.inbound('sub', '1')).framesDecoded ?? 0, 30);
    await grows('audio energy', async () => (await bob.inbound('sub', '0')).totalAudioEnergy ?? 0, 1e-4);
    for (const [client, handle] of [[alice, 'pub'], [bob, 'sub']]) {
      const { local, dtlsState } = await client.path(handle);
      assert.equal(dtlsState, 'connected');
      assert.equal(local.candidateType, 'relay');
      assert.equal(local.relayProtocol, protocol);
    }
    await until('the data channel', async () => (await alice.opened('pub')).length > 0);
    await alice.say('pub', 'over the relay');
    await until('the message', async () => (await bob.received('sub')).length > 0);
  });
}

stage.test('a call over TCP alone', async () => {
  const room = await stage.node.createRoom();
  const alice = await stage.client('alice');
  const bob = await stage.client('bob');
  await alice.onlyCandidates('tcp');
  await bob.onlyCandidates('tcp');
  const { id } = await alice.publish(room);
  await bob.watch('sub', room, [{ feed: id }]);
  await grows('frames decoded', async () => (await bob.inbound('sub', '1')).framesDecoded ?? 0, 30);
  await grows('audio energy', async () => (await bob.inbound('sub', '0')).totalAudioEnergy ?? 0, 1e-4);
  for (const [client, handle] of [[alice, 'pub'], [bob, 'sub']]) {
    const { local, remote } = await client.path(handle);
    assert.deepEqual([local.protocol, remote.protocol], ['tcp', 'tcp']);
  }
});
