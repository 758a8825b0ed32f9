// socket.io with redis-adapter: two nodes; broadcast, rooms, acknowledgements, fetchSockets,
// serverSideEmit, remote joins and disconnects.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { createAdapter } from '@socket.io/redis-adapter'
import Redis from 'ioredis'
import { createClient } from 'redis'
import { Server } from 'socket.io'
import { io as connect } from 'socket.io-client'
import { PREFIX, nodeRedisOptions, redisOptions, until } from './settings.mjs'

const me = redisOptions.username

async function withIoredis() {
  const clients = [new Redis(redisOptions), new Redis(redisOptions)]
  return [...clients, () => Promise.all(clients.map((one) => one.quit()))]
}

async function withNodeRedis() {
  const clients = [createClient(nodeRedisOptions), createClient(nodeRedisOptions)]
  for (const one of clients) one.on('error', () => {})
  await Promise.all(clients.map((one) => one.connect()))
  return [...clients, () => Promise.all(clients.map((one) => one.close()))]
}

async function node(clients, key) {
  const http = createServer()
  const [pub, sub, quit] = await clients()
  const io = new Server(http, { adapter: createAdapter(pub, sub, { key, requestsTimeout: 2000 }) })
  io.on('connection', (socket) => socket.on('enter', (room, told) => (socket.join(room), told())))
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve))
  return { io, url: `http://127.0.0.1:${http.address().port}`, close: async () => (await io.close(), quit()) }
}

for (const clients of [withIoredis, withNodeRedis]) {
  const key = `${PREFIX}socket.io`
  const [one, two] = [await node(clients, key), await node(clients, key)]
  const people = [one, two].map(({ url }) => connect(url, { transports: ['websocket'], forceNew: true }))
  const heard = people.map(() => [])
  people.forEach((person, at) => person.on('news', (text, told) => (heard[at].push(text), told?.(at))))
  await Promise.all(people.map((person) => new Promise((resolve) => person.on('connect', resolve))))
  await until(async () => (await one.io.fetchSockets()).length === 2, 'both sockets seen by one')

  one.io.emit('news', me)
  await until(() => heard.every((texts) => texts.length === 1), 'the broadcast')
  await people[1].emitWithAck('enter', 'kitchen')
  one.io.to('kitchen').emit('news', `${me} kitchen`)
  await until(() => heard[1].length === 2, 'the room')
  assert.deepEqual(heard[0], [me])
  assert.deepEqual((await one.io.timeout(2000).emitWithAck('news', me)).sort(), [0, 1])
  const asked = new Promise((resolve) => two.io.on('ping', (told) => resolve(told('pong'))))
  assert.deepEqual(await one.io.serverSideEmitWithAck('ping'), ['pong'])
  await asked
  one.io.socketsJoin('cellar')
  await until(async () => (await one.io.in('cellar').fetchSockets()).length === 2, 'the remote join')
  assert.ok([...heard[0], ...heard[1]].every((text) => text.startsWith(me)))
  one.io.disconnectSockets()
  await until(() => people.every((person) => !person.connected), 'the remote disconnect')
  people.forEach((person) => person.close())
  await Promise.all([one.close(), two.close()])
}
