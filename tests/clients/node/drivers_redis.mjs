// The plain drivers: strings, pipelines, transactions, scripts, pub/sub, streams, blocking reads.
import assert from 'node:assert/strict'
import Redis from 'ioredis'
import { createClient } from 'redis'
import { PREFIX, nodeRedisOptions, redisOptions } from './settings.mjs'

async function ioredis() {
  const options = { ...redisOptions, keyPrefix: PREFIX }
  const client = new Redis(options)
  const listener = new Redis(options)
  assert.equal(await client.set('a', '1'), 'OK')
  assert.equal(await client.incr('a'), 2)
  assert.deepEqual(await client.multi().get('a').del('a').exec(), [[null, '2'], [null, 1]])
  assert.equal(await client.eval("return redis.call('SET', KEYS[1], ARGV[1]).ok", 1, 's', 'x'), 'OK')
  const heard = new Promise((resolve) => listener.on('message', (channel, text) => resolve(`${channel} ${text}`)))
  await listener.subscribe(`${PREFIX}news`)
  await client.publish(`${PREFIX}news`, 'hello')
  assert.equal(await heard, `${PREFIX}news hello`)
  await client.xadd('stream', '*', 'f', '1')
  assert.equal((await client.xread('STREAMS', 'stream', '0')).length, 1)
  await client.lpush('list', 'one')
  assert.deepEqual(await client.brpop('list', 1), [`${PREFIX}list`, 'one'])
  const found = []
  for await (const keys of client.scanStream({ match: `${PREFIX}*` })) found.push(...keys)
  assert.ok(found.includes(`${PREFIX}s`))
  await client.unlink('s', 'stream')
  await Promise.all([client.quit(), listener.quit()])
}

async function nodeRedis() {
  const client = createClient(nodeRedisOptions)
  client.on('error', () => {})
  await client.connect()
  const listener = client.duplicate()
  listener.on('error', () => {})
  await listener.connect()
  assert.equal(await client.set(`${PREFIX}a`, '1', { EX: 60 }), 'OK')
  assert.deepEqual(await client.multi().incr(`${PREFIX}a`).get(`${PREFIX}a`).exec(), [2, '2'])
  const heard = new Promise((resolve) => listener.subscribe(`${PREFIX}news`, resolve))
  while (!(await client.publish(`${PREFIX}news`, 'hello'))) await new Promise(setImmediate)
  assert.equal(await heard, 'hello')
  await client.hSet(`${PREFIX}h`, { f: '1' })
  assert.deepEqual({ ...(await client.hGetAll(`${PREFIX}h`)) }, { f: '1' })
  await client.del([`${PREFIX}a`, `${PREFIX}h`])
  await client.close()
  await listener.close()
}

await ioredis()
await nodeRedis()
