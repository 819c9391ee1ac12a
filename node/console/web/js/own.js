// What we send: microphone, camera and screen. A microphone that is muted stays open; a camera that is off is given back,
// so that its light goes out.
import { kept } from './dom.js';
import * as media from './media.js';

// Own has the tracks. Events:
//   change   detail: "microphone", "camera" or "screen", whose track or state is another now
//   problem  detail: a sentence about what could not be had
export class Own extends EventTarget {
  microphone = null; // tracks
  camera = null;
  screen = null;
  #mic = kept.get('mic') !== 'off'; // what is wanted
  #camera = kept.get('camera') !== 'off';

  get speaking() { return this.#mic && this.microphone !== null; }

  // metadata is what others are told of it.
  get metadata() { return { mic: this.speaking, camera: this.camera !== null }; }

  // open opens what was not switched off the last time. It tells whether there is anything.
  async open() {
    if (this.#mic && this.#camera) {
      try {
        const tracks = await media.both(kept.get('videoinput'), kept.get('audioinput'));
        this.#take('microphone', tracks.microphone);
        this.#take('camera', tracks.camera);
        return true;
      } catch { /* one of them may be there, and what is wrong with the other should be said */ }
    }
    const wanted = [...(this.#mic ? ['microphone'] : []), ...(this.#camera ? ['camera'] : [])];
    const errors = await Promise.all(wanted.map(what => this.#open(what)));
    if (errors.length > 1 && errors.every(err => err?.name === 'NotAllowedError')) this.#problem(media.reason(errors[0], 'camera and microphone'));
    else errors.forEach((err, i) => { if (err) this.#problem(media.reason(err, wanted[i])); });
    return wanted.length === 0 || errors.includes(null);
  }

  async toggleMicrophone() {
    this.#mic = !this.#mic || !this.microphone;
    kept.set('mic', this.#mic ? 'on' : 'off');
    if (this.#mic && !this.microphone) return this.#reopen('microphone');
    this.microphone.enabled = this.#mic;
    this.#changed('microphone');
  }

  async toggleCamera() {
    this.#camera = !this.camera;
    kept.set('camera', this.#camera ? 'on' : 'off');
    if (this.#camera) return this.#reopen('camera');
    this.#take('camera', null);
  }

  async toggleScreen() {
    if (this.screen) return this.#take('screen', null);
    try {
      this.#take('screen', await media.screen());
    } catch (err) {
      if (err.name !== 'NotAllowedError') this.#problem(media.reason(err, 'screen')); // else: thought better of it
    }
  }

  // choose takes another device of a kind from now on.
  async choose(kind, id) {
    kept.set(kind, id);
    if (kind === 'videoinput' && this.camera) await this.#reopen('camera');
    if (kind === 'audioinput' && this.microphone) await this.#reopen('microphone');
  }

  // device is the id of the one in use, or of the one that was.
  device(kind) {
    return { videoinput: this.camera, audioinput: this.microphone }[kind]?.getSettings().deviceId ?? kept.get(kind);
  }

  // unshare ends the sharing of the screen.
  unshare() {
    if (this.screen) this.#take('screen', null);
  }

  // open opens the device that was chosen; it returns what went wrong, or null.
  async #open(what) {
    try {
      this.#take(what, await media[what](kept.get({ microphone: 'audioinput', camera: 'videoinput' }[what])));
      if (what === 'microphone') this.microphone.enabled = this.#mic;
      return null;
    } catch (err) {
      return err;
    }
  }

  async #reopen(what) {
    const err = await this.#open(what);
    if (err) this.#problem(media.reason(err, what));
  }

  #take(what, track) {
    this[what]?.stop();
    this[what] = track;
    track?.addEventListener('ended', () => { // unplugged, or taken away by the browser
      if (this[what] === track) this.#take(what, null);
    });
    this.#changed(what);
  }

  #changed(what) { this.dispatchEvent(new CustomEvent('change', { detail: what })); }
  #problem(text) { this.dispatchEvent(new CustomEvent('problem', { detail: text })); }
}
