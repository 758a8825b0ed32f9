// socket.io with redis-streams-adapter: two nodes; broadcast, fetchSockets, serverSideEmit, and a
// session that another node goes on with.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { createAdapter } from '@socket.io/redis-streams-adapter'
import Redis from 'ioredis'
import { Server } from 'socket.io'
import { io as connect } from 'socket.io-client'
import { PREFIX, redisOptions, until } from './settings.mjs'

const me = redisOptions.username
const names = {
  streamName: `${PREFIX}socket.io`,
  channelPrefix: `${PREFIX}socket.io`,
  sessionKeyPrefix: `${PREFIX}session:`,
  blockTimeInMs: 200,
}

async function node() {
  const http = createServer()
  const client = new Redis(redisOptions)
  const io = new Server(http, {
    adapter: createAdapter(client, names),
    connectionStateRecovery: { maxDisconnectionDuration: 60_000 },
  })
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve))
  return { io, url: `http://127.0.0.1:${http.address().port}` }
}

const [one, two] = [await node(), await node()]
const people = [one, two].map(({ url }) => connect(url, { transports: ['websocket'], forceNew: true }))
const heard = people.map(() => [])
people.forEach((person, at) => person.on('news', (text) => heard[at].push(text)))
await Promise.all(people.map((person) => new Promise((resolve) => person.on('connect', resolve))))
await until(async () => (await one.io.fetchSockets()).length === 2, 'both sockets seen by one')
one.io.emit('news', me)
await until(() => heard.every((texts) => texts.length === 1), 'the broadcast')
assert.deepEqual(heard, [[me], [me]])
two.io.on('ping', (told) => told('pong'))
assert.deepEqual(await one.io.serverSideEmitWithAck('ping'), ['pong'])

// its connection breaks, and it comes back to the other node
people[0].io.uri = two.url
people[0].io.engine.close()
await until(() => people[0].connected && people[0].recovered, 'the session goes on')
process.exit(0) // the adapters read without end
