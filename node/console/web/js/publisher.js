// What this page sends: microphone, camera, screen and chat, over one PeerConnection of the handle that joined the room.
import { Connection, pauseAfter, serial } from './connection.js';

// The camera's simulcast encodings, of which the node sends each viewer what its network and its choice allow.
const simulcast = [
  { rid: 'h', maxBitrate: 1_500_000 },
  { rid: 'm', maxBitrate: 450_000, scaleResolutionDownBy: 2 },
  { rid: 'l', maxBitrate: 150_000, scaleResolutionDownBy: 4 },
];
const screenEncoding = [{ maxBitrate: 2_500_000 }];

// Publisher publishes on a handle that is in a room. Events:
//   full  others publish already as many as the room takes
//   down, up  its connection was lost and is being made anew; it is there
//   trouble   nothing comes over it, for now
export class Publisher extends EventTarget {
  #handle;
  #ice;
  #connection = null;
  #channel = null;
  #lines = {}; // audio, camera, screen: transceivers
  #tracks = { audio: null, camera: null, screen: null };
  #inTurn = serial();
  #published = false;
  #closed = false;

  constructor(handle, ice) {
    super();
    this.#handle = handle;
    this.#ice = ice;
    handle.addEventListener('webrtcup', () => this.dispatchEvent(new Event('up')));
    handle.addEventListener('hangup', () => this.#hungUp());
  }

  get handle() { return this.#handle; }
  get published() { return this.#published; }
  get up() { return this.#connection?.up ?? false; }
  get target() { return this.#connection?.target ?? null; }

  // mid returns the media line that carries audio, camera or screen, null when there is none.
  mid(what) { return this.#lines[what]?.mid ?? null; }

  // publish begins, with the tracks that were set.
  publish() { return this.#inTurn(() => this.#open()); }

  // set sends another track, or none, as audio, camera or screen.
  set(what, track) {
    this.#tracks[what] = track;
    return this.#inTurn(async () => {
      if (this.#published && await this.#place(what)) await this.#negotiate();
    });
  }

  // say sends a text to all others. It tells whether that was possible.
  say(text) {
    if (this.#channel?.readyState !== 'open') return false;
    this.#channel.send(text);
    return true;
  }

  close() {
    this.#closed = true;
    this.#connection?.close();
  }

  async #open() {
    if (this.#closed) return;
    this.#connection?.close();
    this.#connection = new Connection(this.#handle, this.#ice, {
      restart: () => this.#inTurn(() => this.#negotiate({ iceRestart: true })),
      trouble: () => this.dispatchEvent(new Event('trouble')),
    });
    const pc = await this.#connection.open();
    this.#lines = {};
    this.#channel = pc.createDataChannel('chat', { ordered: true });
    for (const what of Object.keys(this.#tracks)) await this.#place(what);
    this.#published = false;
    await this.#negotiate();
    this.#published = true;
  }

  // place puts a track where it belongs and tells whether that has to be negotiated.
  async #place(what) {
    const pc = this.#connection.pc, track = this.#tracks[what], line = this.#lines[what];
    if (!line) {
      if (!track) return false;
      if (what === 'screen') track.contentHint = 'detail';
      this.#lines[what] = pc.addTransceiver(track, {
        direction: 'sendonly',
        streams: [new MediaStream([track])],
        ...(what === 'camera' && { sendEncodings: simulcast }),
        ...(what === 'screen' && { sendEncodings: screenEncoding }),
      });
      return true;
    }
    await line.sender.replaceTrack(track);
    if (what !== 'screen') return false; // a line that is silent for a while is kept for when it is not
    const direction = track ? 'sendonly' : 'inactive';
    if (line.direction === direction) return false;
    line.direction = direction;
    return true;
  }

  async #negotiate(options) {
    const pc = this.#connection.pc;
    if (this.#closed || pc.signalingState === 'closed') return;
    await pc.setLocalDescription(await pc.createOffer(options));
    const descriptions = Object.entries(this.#lines).filter(([, line]) => line.mid !== null)
      .map(([what, line]) => ({ mid: line.mid, description: what }));
    try {
      const reply = await this.#handle.message(
        { request: this.#published ? 'configure' : 'publish', descriptions },
        { type: pc.localDescription.type, sdp: pc.localDescription.sdp },
      );
      await pc.setRemoteDescription(reply.jsep);
    } catch (err) {
      if (pc.signalingState === 'have-local-offer') await pc.setLocalDescription({ type: 'rollback' }).catch(() => {});
      throw err;
    }
  }

  #hungUp() {
    if (this.#closed || !this.#published) return;
    this.dispatchEvent(new Event('down'));
    setTimeout(() => this.publish().catch(err => {
      console.warn('publish again:', err);
      this.#hungUp();
    }), pauseAfter(this.#connection));
  }
}
