// Asks a question as the administrator. Where nobody has made the replica set and the logins yet (a
// first start without mngdb), it makes them: the key file opens the account that members of a set
// use among themselves. Written by mngdb.
const fs = require('fs');
const asked = ASKED;
const read = (path) => {
  const text = fs.readFileSync(path, 'utf8').trim();
  if (!text) throw new Error(path + ': no secret');
  return text;
};
const open = (user, secret, from, how) => {
  const options = `authSource=${from}&authMechanism=${how}&directConnection=true${asked.tls}`;
  const login = `${user}:${encodeURIComponent(secret)}`;
  return new Mongo(`mongodb://${login}@127.0.0.1:${asked.port}/?${options}`);
};
const fill = (value) => {
  if (typeof value === 'string' && value.startsWith('SECRET'))
    return read(value.slice('SECRET'.length));
  if (Array.isArray(value)) return value.map(fill);
  if (value && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, fill(v)]));
  return value;
};
const primary = (connection) => {
  for (let i = 0; i < 50; i++) {
    if (connection.getDB('admin').hello().isWritablePrimary) return true;
    sleep(100);
  }
  return false;
};
const admin = () => open('admin', read(asked.secret), 'admin', 'SCRAM-SHA-256');
const make = () => {
  const system = open('__system', read(asked.keyfile), 'local', 'SCRAM-SHA-256');
  const db = system.getDB('admin');
  if (!db.hello().setName) db.runCommand({replSetInitiate: fill(asked.set)});
  if (!primary(system)) throw new Error('no primary');
  if (db.getSiblingDB('admin').runCommand({usersInfo: 1}).users.length) return;
  for (const [on, command] of asked.commands) db.getSiblingDB(on).runCommand(fill(command));
};
let connection;
try {
  connection = admin();
} catch (error) {
  make();
  connection = admin();
}
if (!connection.getDB('admin').hello().isWritablePrimary) {
  print('not primary');
  quit(1);
}
