// Redlock: a lock that is held, prolonged and released.
import assert from 'node:assert/strict'
import Redis from 'ioredis'
import Redlock from 'redlock'
import { PREFIX, redisOptions } from './settings.mjs'

const client = new Redis(redisOptions)
const locks = new Redlock([client], { retryCount: 0 })
const name = `${PREFIX}lock`
let held = await locks.acquire([name], 10_000)
await assert.rejects(locks.acquire([name], 10_000))
held = await held.extend(20_000)
await held.release()
assert.equal(await locks.using([name], 10_000, async () => PREFIX), PREFIX)
await client.quit()
