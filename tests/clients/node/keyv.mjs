// Keyv with @keyv/redis: values, many values, an iterator, clear; and cache-manager over it.
import assert from 'node:assert/strict'
import KeyvRedis from '@keyv/redis'
import { createCache } from 'cache-manager'
import Keyv from 'keyv'
import { PREFIX, nodeRedisOptions } from './settings.mjs'

const namespace = PREFIX.slice(0, -1)
const keyv = new Keyv({ store: new KeyvRedis(nodeRedisOptions), namespace })
keyv.on('error', (error) => { throw error })
await keyv.set('one', namespace, 60_000)
await keyv.setMany([{ key: 'two', value: 2 }, { key: 'three', value: 3 }])
assert.deepEqual(await keyv.get(['one', 'two']), [namespace, 2])
const found = []
for await (const [key] of keyv.iterator()) found.push(key)
assert.equal(found.length, 3)
await keyv.delete('one')
await keyv.clear()
assert.equal(await keyv.has('two'), false)

const cache = createCache({ stores: [keyv], ttl: 60_000 })
assert.equal(await cache.wrap('slow', async () => namespace), namespace)
assert.equal(await cache.wrap('slow', async () => 'again'), namespace)
await cache.mset([{ key: 'four', value: 4 }])
await cache.del('four')
await cache.clear()
assert.equal(await cache.get('slow'), undefined)
await cache.disconnect()
