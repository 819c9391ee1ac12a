// A bare PeerConnection, for tests whose signaling happens outside of the page.
import { Sinks, everything, inbound, outbound, path } from '/media.js';

export class Peer {
  sinks = new Sinks();
  candidates = [];

  #open() {
    this.pc = new RTCPeerConnection();
    this.pc.ontrack = ({ track, transceiver }) => this.sinks.play(transceiver.mid, track);
    this.pc.onicecandidate = ({ candidate }) => { if (candidate) this.candidates.push(candidate.toJSON()); };
    this.gathered = new Promise(resolve => {
      this.pc.onicegatheringstatechange = () => { if (this.pc.iceGatheringState === 'complete') resolve(); };
    });
  }

  // offer sends camera and microphone. The description is complete: it has all candidates.
  async offer(constraints = { audio: true, video: { width: 640, height: 480 } }) {
    this.#open();
    const stream = await navigator.mediaDevices.getUserMedia(constraints);
    for (const track of stream.getTracks()) this.pc.addTrack(track, stream);
    await this.pc.setLocalDescription();
    await this.gathered;
    return { type: 'offer', sdp: this.pc.localDescription.sdp };
  }

  async accept(answer) { await this.pc.setRemoteDescription(answer); }

  // answer gives a description without candidates; gather waits for them.
  async answer(offer) {
    if (!this.pc) this.#open();
    await this.pc.setRemoteDescription(offer);
    const answer = await this.pc.createAnswer();
    await this.pc.setLocalDescription(answer);
    return { type: 'answer', sdp: answer.sdp };
  }

  async gather() {
    await this.gathered;
    return this.candidates;
  }

  inbound(_, mid) { return inbound(this.pc, mid); }
  outbound(_, mid) { return outbound(this.pc, mid); }
  picture(_, mid) { return this.sinks.picture(mid); }
  path() { return path(this.pc); }

  async record() {
    const { pc } = this;
    return {
      connection: pc?.connectionState, ice: pc?.iceConnectionState, candidates: this.candidates,
      local: pc?.localDescription?.sdp.split('\r\n'), remote: pc?.remoteDescription?.sdp.split('\r\n'),
      stats: pc ? await everything(pc) : [],
    };
  }
}
