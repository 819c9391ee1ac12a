// The worker of timers.js: it says an id when its time has come.
onmessage = ({ data: { id, ms } }) => setTimeout(() => postMessage(id), ms);
