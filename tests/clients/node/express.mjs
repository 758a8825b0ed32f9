// An Express server with connect-redis sessions, rate-limit-redis and rate-limiter-flexible.
import assert from 'node:assert/strict'
import { RedisStore } from 'connect-redis'
import express from 'express'
import { rateLimit } from 'express-rate-limit'
import Redis from 'ioredis'
import { RateLimiterRedis } from 'rate-limiter-flexible'
import { RedisStore as LimitStore } from 'rate-limit-redis'
import { createClient } from 'redis'
import { serve, sessions } from './sessions.mjs'
import { PREFIX, nodeRedisOptions, redisOptions } from './settings.mjs'

const client = createClient(nodeRedisOptions)
client.on('error', () => {})
await client.connect()
const io = new Redis(redisOptions)

const store = new RedisStore({ client, prefix: `${PREFIX}sess:`, ttl: 60 })
const limits = new LimitStore({ sendCommand: (...words) => client.sendCommand(words), prefix: `${PREFIX}rl:` })
await sessions(store)
const call = (name, ...given) => new Promise((resolve, reject) => {
  store[name](...given, (error, value) => (error ? reject(error) : resolve(value)))
})
await call('clear')
await call('set', 'one', { cookie: {}, count: 2 })
assert.equal(await call('length'), 1)
assert.equal((await call('all'))[0].count, 2)
await call('clear')
assert.equal(await call('length'), 0)

const app = express()
app.get('/limited', rateLimit({ windowMs: 60_000, limit: 2, store: limits }), (_, response) => response.json('in'))
const { url, close } = await serve(app)
const answers = []
for (let asked = 0; asked < 3; asked++) answers.push((await fetch(`${url}/limited`)).status)
assert.deepEqual(answers, [200, 200, 429])
await limits.resetKey('127.0.0.1')

for (const storeClient of [io, client]) {
  const useRedisPackage = storeClient === client
  const keyPrefix = `${PREFIX}rlflx`
  const limiter = new RateLimiterRedis({ storeClient, useRedisPackage, keyPrefix, points: 2, duration: 60, blockDuration: 60 })
  await limiter.consume('guest')
  await limiter.consume('guest')
  await assert.rejects(limiter.consume('guest'), (refused) => refused.msBeforeNext > 0)
  assert.ok((await limiter.get('guest')).consumedPoints >= 2)
  await limiter.reward('guest', 1)
  await limiter.delete('guest')
}
close()
await client.close()
await io.quit()
