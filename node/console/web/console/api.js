// What the node answers.

// Closed says that the node does not tell us: `token` says that it would with one, `wrong` that what we showed is not it.
export class Closed extends Error {
  constructor(token, wrong = false) {
    super('The node tells its state to its operators only.');
    this.token = token;
    this.wrong = wrong;
  }
}

const key = 'cardea.token';
const root = new URL('../api/v1/', location.href);

export const token = {
  get: () => sessionStorage.getItem(key) ?? '',
  set: text => sessionStorage.setItem(key, text),
};

const patience = 15_000; // milliseconds: a node that says nothing for so long is not waited for

// either ends with the first of two signals, also in browsers of 2023.
function either(...signals) {
  if (AbortSignal.any) return AbortSignal.any(signals);
  const end = new AbortController();
  for (const s of signals) {
    if (s.aborted) end.abort(s.reason);
    s.addEventListener('abort', () => end.abort(s.reason), { once: true });
  }
  return end.signal;
}

async function ask(path, { signal, ...options } = {}) {
  const headers = { ...options.headers };
  const shown = token.get();
  if (shown) headers.Authorization = `Bearer ${shown}`;
  let reply;
  try {
    const late = AbortSignal.timeout(patience);
    reply = await fetch(new URL(path, root), { cache: 'no-store', ...options, headers, signal: signal ? either(signal, late) : late });
  } catch (err) {
    throw unreachable(err);
  }
  if (reply.status === 401) {
    if (shown && shown === token.get()) token.set(''); // it is not shown again: wrong ones are counted
    throw new Closed(true, shown !== '');
  }
  if (!reply.ok) {
    const text = (await reply.text()).trim();
    if (reply.status === 403 && !options.method) throw new Closed(false);
    const err = new Error(text ? `${text[0].toUpperCase()}${text.slice(1)}.` : `The node answers ${reply.status}.`);
    err.status = reply.status;
    throw err;
  }
  return reply.json().catch(err => { throw unreachable(err); });
}

const unreachable = err => (err.name === 'AbortError' ? err : new Error('The node cannot be reached just now.'));

const query = values => `?${new URLSearchParams(Object.entries(values).filter(([, v]) => v !== '' && v !== undefined))}`;

export const overview = signal => ask('overview', { signal });
export const rooms = (values, signal) => ask(`rooms${query({ offset: 0, ...values })}`, { signal });
export const room = (values, signal) => ask(`room${query(values)}`, { signal });
export const may = () => ask('operator');

const post = (path, body) => ask(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });

export const login = password => post('operator/login', { password });
export const logout = () => post('operator/logout', {});
export const drain = (node, undo) => post('operator/drain', { node, undo });
export const kick = (plugin, room, participant) => post('operator/kick', { plugin, room, participant });
