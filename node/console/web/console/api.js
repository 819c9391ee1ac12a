// What the node answers.

// Closed says that the node does not tell us: `token` says that it would with one.
export class Closed extends Error {
  constructor(token) {
    super('The node tells its state to its operators only.');
    this.token = token;
  }
}

const key = 'cardea.token';
const root = new URL('../api/v1/', location.href);

export const token = {
  get: () => sessionStorage.getItem(key) ?? '',
  set: text => sessionStorage.setItem(key, text),
};

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  let reply;
  try {
    reply = await fetch(new URL(path, root), { cache: 'no-store', ...options, headers });
  } catch (err) {
    if (err.name === 'AbortError') throw err;
    throw new Error('The node cannot be reached just now.');
  }
  if (reply.status === 401) throw new Closed(true);
  if (!reply.ok) {
    const text = (await reply.text()).trim();
    if (reply.status === 403 && !options.method) throw new Closed(false);
    const err = new Error(text ? `${text[0].toUpperCase()}${text.slice(1)}.` : `The node answers ${reply.status}.`);
    err.status = reply.status;
    throw err;
  }
  return reply.json();
}

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
