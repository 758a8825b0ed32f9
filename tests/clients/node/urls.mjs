// Connects by the variables of `mngdb env APP --for NAME` and nothing else, as an app does, and prints
// whether the connection is encrypted. What fails is left to Node.js to print.
import assert from 'node:assert/strict'
import Redis from 'ioredis'
import knex from 'knex'
import mongoose from 'mongoose'
import pg from 'pg'
import { createClient } from 'redis'
import { Sequelize } from 'sequelize'

const { POSTGRES_URL, REDIS_URL, MONGO_URI } = process.env
const TLS = "SELECT coalesce(version, 'none') AS tls FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

const drivers = {
  async pg() {
    const client = new pg.Client({ connectionString: POSTGRES_URL })
    await client.connect()
    await client.query('CREATE TABLE IF NOT EXISTS words (word text)')
    const { rows } = await client.query(TLS)
    await client.end()
    return rows[0].tls
  },
  async knex() {
    const client = knex({ client: 'pg', connection: POSTGRES_URL })
    try {
      return (await client.raw(TLS)).rows[0].tls
    } finally {
      await client.destroy()
    }
  },
  async sequelize() {
    const client = new Sequelize(POSTGRES_URL, { dialect: 'postgres', logging: false })
    const [rows] = await client.query(TLS)
    await client.close()
    return rows[0].tls
  },
  async ioredis() {
    const client = new Redis(REDIS_URL, { retryStrategy: null, lazyConnect: true })
    const failed = new Promise((_, reject) => client.on('error', reject))
    await Promise.race([client.connect(), failed])
    assert.equal(await client.set('shop:one', '1'), 'OK')
    const tls = client.stream.encrypted ? 'TLS' : 'none'
    client.disconnect()
    return tls
  },
  async 'node-redis'() {
    const client = createClient({ url: REDIS_URL, socket: { reconnectStrategy: false } })
    client.on('error', () => {})
    await client.connect()
    assert.equal(await client.set('shop:one', '1'), 'OK')
    await client.close()
    return REDIS_URL.startsWith('rediss:') ? 'TLS' : 'none'
  },
  async mongoose() {
    const connection = await mongoose.createConnection(MONGO_URI, { serverSelectionTimeoutMS: 5000 }).asPromise()
    const Word = connection.model('Word', new mongoose.Schema({ word: String }))
    await Word.create({ word: 'one' })
    assert.ok(await Word.findOne({ word: 'one' }))
    const { tls } = connection.getClient().options
    await connection.close()
    return tls ? 'TLS' : 'none'
  },
}

try {
  console.log(await drivers[process.argv[2]]())
} catch (error) {
  // ioredis' errors have the command that failed, AUTH with the password: docs/connecting.md
  console.error(process.argv[2] === 'ioredis' ? error.stack : error)
  process.exit(1)
}
