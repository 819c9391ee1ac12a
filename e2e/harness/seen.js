// What a subscriber sees and hears, as questions of one line.

// on asks about one handle of a client: its lines are numbered as its offers' are.
export function on(client, handle) {
  const stats = mid => client.inbound(handle, String(mid));
  return {
    stats,
    frames: async mid => (await stats(mid)).framesDecoded ?? 0,
    size: async mid => {
      const { frameWidth, frameHeight } = await stats(mid);
      return `${frameWidth}x${frameHeight}`;
    },
    energy: async mid => (await stats(mid)).totalAudioEnergy ?? 0,
    contrast: async mid => (await client.picture(handle, String(mid))).contrast,
  };
}

// Constants of what counts as seen and heard: a second's frames, and the energy of some beeps of the fake microphone.
export const second = 20;
export const heard = 1e-4;
