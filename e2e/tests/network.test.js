// Networks that let little through: calls over relays, and over TCP.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { heard, on, second } from '../harness/seen.js';
import { grows, play, until } from '../harness/stage.js';

// selfSigned makes a certificate for the node's address, as openssl does for people who try things out.
function selfSigned(directory) {
  const files = { certificate: join(directory, 'node.crt'), key: join(directory, 'node.key') };
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', '/CN=cardea', '-keyout', files.key, '-out', files.certificate], { stdio: 'pipe' });
  return files;
}

const stage = play({
  node: ({ directory }) => ({ turn: { users: ['caller:sesame'], secrets: ['pepper'] }, tls: selfSigned(directory) }),
  flags: ['--ignore-certificate-errors'],
});

// call lets alice send to bob, both with the options of janus.js, until he sees and hears her; it gives both ends' paths.
async function call(ofAlice, ofBob = ofAlice, prepare = async () => {}) {
  const room = await stage.node.createRoom();
  const alice = await stage.client('alice', ofAlice);
  const bob = await stage.client('bob', ofBob);
  await prepare(alice);
  await prepare(bob);
  const { id } = await alice.publish(room);
  await bob.watch('sub', room, [{ feed: id }]);
  const seen = on(bob, 'sub');
  await grows('frames decoded', () => seen.frames(1), second);
  await grows('audio energy', () => seen.energy(0), heard);
  await until('the data channel', async () => (await alice.opened('pub')).length > 0);
  await alice.say('pub', 'do you hear me?');
  await until('the message', async () => (await bob.received('sub')).length > 0);
  return [await alice.path('pub'), await bob.path('sub')];
}

// timeLimited makes credentials as an application server does that shares a secret with the node.
function timeLimited(secret) {
  const username = `${Math.floor(Date.now() / 1000) + 600}:caller`;
  return { username, credential: createHmac('sha1', secret).update(username).digest('base64') };
}

const lasting = () => ({ username: 'caller', credential: 'sesame' });

for (const [title, url, protocol, credentials] of [
  ['UDP', a => `turn:${a}:3478?transport=udp`, 'udp', lasting],
  ['UDP with time-limited credentials', a => `turn:${a}:3478?transport=udp`, 'udp', () => timeLimited('pepper')],
  ['TCP', a => `turn:${a}:3478?transport=tcp`, 'tcp', lasting],
  ['TLS', a => `turns:${a}:5349?transport=tcp`, 'tls', lasting],
]) {
  stage.test(`a call relayed by TURN over ${title}`, async () => {
    const relay = { iceServers: [{ urls: url(stage.node.address), ...credentials() }], iceTransportPolicy: 'relay' };
    for (const { local, dtlsState } of await call(relay)) {
      assert.deepEqual([local.candidateType, local.relayProtocol, dtlsState], ['relay', protocol, 'connected']);
    }
  });
}

stage.test('a call over TCP alone', async () => {
  for (const { local, remote } of await call({}, {}, client => client.onlyCandidates('tcp'))) {
    assert.deepEqual([local.protocol, remote.protocol], ['tcp', 'tcp']);
  }
});

stage.test('a call with signaling over TLS', async () => {
  const { address } = stage.node;
  await call({ server: `wss://${address}:8989` }, { server: `https://${address}:8089/janus` });
});
