// Cameras, microphones and screens, and in plain words why there is none.

// available tells whether the browser gives a page any device at all: it does so only in secure contexts.
export const available = Boolean(navigator.mediaDevices?.getUserMedia);
export const canShare = Boolean(navigator.mediaDevices?.getDisplayMedia);

const picture = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const sound = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

// A device that is gone must not keep another from being used: what was chosen is a wish.
const chosen = id => (id ? { deviceId: { ideal: id } } : {});

const get = constraints => navigator.mediaDevices.getUserMedia(constraints);
const ofCamera = id => ({ video: { ...picture, ...chosen(id) } });
const ofMicrophone = id => ({ audio: { ...sound, ...chosen(id) } });

export const camera = async id => (await get(ofCamera(id))).getVideoTracks()[0];
export const microphone = async id => (await get(ofMicrophone(id))).getAudioTracks()[0];

// both asks for a camera and a microphone at once, so that the browser asks the user once.
export async function both(cameraID, microphoneID) {
  const stream = await get({ ...ofCamera(cameraID), ...ofMicrophone(microphoneID) });
  return { camera: stream.getVideoTracks()[0], microphone: stream.getAudioTracks()[0] };
}

export async function screen() {
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15 } }, audio: false });
  return stream.getVideoTracks()[0];
}

// devices lists what can be chosen: { videoinput, audioinput, audiooutput }, each [{ id, label }].
export async function devices() {
  const lists = { videoinput: [], audioinput: [], audiooutput: [] };
  const names = { videoinput: 'Camera', audioinput: 'Microphone', audiooutput: 'Speaker' };
  for (const d of await navigator.mediaDevices?.enumerateDevices() ?? []) {
    const list = lists[d.kind];
    if (!list || !d.deviceId) continue; // no id: the browser does not tell before it was asked for one
    list.push({ id: d.deviceId, label: d.label || `${names[d.kind]} ${list.length + 1}` });
  }
  return lists;
}

// reason says why a device could not be had.
export function reason(err, what) {
  switch (err?.name) {
    case 'NotAllowedError':
      return `The browser does not allow this page to use the ${what}. The icon in the address bar changes that.`;
    case 'NotFoundError':
      return `No ${what} was found.`;
    case 'NotReadableError':
      return `The ${what} cannot be opened: another program may be using it.`;
    case 'OverconstrainedError':
      return `The ${what} cannot do what was asked of it.`;
  }
  return `The ${what} cannot be used: ${err?.message ?? err}`;
}

// insecure says why a page from this address gets no device.
export const insecure = 'Browsers give a page the camera and microphone only over HTTPS or from localhost. '
  + 'You can join and watch; to take part, open this page over https.';
