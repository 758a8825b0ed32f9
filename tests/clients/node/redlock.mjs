// Redlock, versions 5 and 4: a lock that is held, prolonged and released.
import assert from 'node:assert/strict'
import Redis from 'ioredis'
import Redlock from 'redlock'
import Redlock4 from 'redlock4'
import { PREFIX, redisOptions } from './settings.mjs'

const client = new Redis(redisOptions)
const name = `${PREFIX}lock`

async function five() {
  const locks = new Redlock([client], { retryCount: 0 })
  let held = await locks.acquire([name], 10_000)
  await assert.rejects(locks.acquire([name], 10_000))
  held = await held.extend(20_000)
  await held.release()
  assert.equal(await locks.using([name], 10_000, async () => PREFIX), PREFIX)
}

async function four() {
  const locks = new Redlock4([client], { retryCount: 0 })
  let held = await locks.lock(name, 10_000)
  await assert.rejects(locks.lock(name, 10_000))
  held = await held.extend(20_000)
  await held.unlock()
  await (await locks.lock([name, `${name}2`], 10_000)).unlock()
}

await five()
await four()
await client.quit()
