// mongoose (models, indexes, transactions, change streams, populate), migrate-mongo, Agenda and
// connect-mongo.
import { MongoBackend } from '@agendajs/mongo-backend'
import { Agenda } from 'agenda'
import MongoStore from 'connect-mongo'
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { config, down, status, up } from 'migrate-mongo'
import mongoose from 'mongoose'
import { sessions } from './sessions.mjs'
import { until } from './settings.mjs'

const url = process.env.MONGO_URI
const databaseName = process.env.MONGO_DATABASE
const me = process.env.MONGO_USER

const steps = {
  async mongoose() {
    const db = await mongoose.createConnection(url).asPromise()
    const author = new mongoose.Schema({ name: { type: String, unique: true } }, { timestamps: true })
    const book = new mongoose.Schema({
      title: { type: String, index: true },
      by: { type: mongoose.Schema.Types.ObjectId, ref: 'Author' },
      seen: { type: Date, expires: 60 },
    })
    const [Author, Book] = [db.model('Author', author), db.model('Book', book)]
    await Promise.all([Author.init(), Book.init()])
    const changes = Book.watch()
    const heard = new Promise((resolve) => changes.once('change', resolve))
    await new Promise((resolve) => setTimeout(resolve, 500))
    await db.transaction(async (session) => {
      const [kim] = await Author.create([{ name: me }], { session })
      await Book.create([{ title: 'one', by: kim._id }], { session })
    })
    assert.equal((await heard).operationType, 'insert')
    await changes.close()
    assert.equal((await Book.findOne().populate('by')).by.name, me)
    await assert.rejects(Author.create({ name: me }), { code: 11000 })
    book.index({ title: 1, by: 1 })
    db.deleteModel('Book')
    const Again = db.model('Book', book)
    await Again.syncIndexes()
    assert.equal((await Again.aggregate([{ $group: { _id: '$by', n: { $sum: 1 } } }]))[0].n, 1)
    await Author.collection.drop()
    await Again.collection.drop()
    await db.close()
  },

  async collMod() {
    const db = await mongoose.createConnection(url).asPromise()
    await db.createCollection('mods')
    await db.collection('mods').createIndex({ at: 1 }, { expireAfterSeconds: 60 })
    await db.db.command({ collMod: 'mods', index: { keyPattern: { at: 1 }, expireAfterSeconds: 120 } })
    await db.db.command({ collMod: 'mods', validator: { n: { $type: 'number' } } })
    await db.collection('mods').aggregate([{ $indexStats: {} }]).toArray()
    await db.db.command({ validate: 'mods' })
    await db.dropDatabase()
    await db.close()
  },

  async migrate() {
    mkdirSync('migrations')
    writeFileSync('migrations/20260101000000-first.js', `
      export const up = async (db) => {
        await db.createCollection('moved')
        await db.command({ collMod: 'moved', validator: { app: { $exists: true } } })
        await db.collection('moved').insertOne({ app: '${me}' })
      }
      export const down = (db) => db.collection('moved').drop()
    `)
    const mongodb = { url, databaseName, options: {} }
    config.set({ mongodb, migrationsDir: 'migrations', changelogCollectionName: 'changelog', moduleSystem: 'esm' })
    const client = await new mongoose.mongo.MongoClient(url).connect()
    const db = client.db(databaseName)
    assert.equal((await up(db, client)).length, 1)
    assert.equal((await db.collection('moved').findOne()).app, me)
    assert.ok((await status(db)).every((one) => one.appliedAt !== 'PENDING'))
    await down(db, client)
    await db.collection('changelog').drop()
    await client.close()
  },

  async agenda() {
    const db = await mongoose.createConnection(url).asPromise()
    const agenda = new Agenda({ backend: new MongoBackend({ address: url }), processEvery: '100 ms' })
    const done = []
    agenda.define('mail', async ({ attrs }) => { done.push(attrs.data.app) })
    await agenda.start()
    await agenda.now('mail', { app: me })
    await agenda.every('1 hour', 'mail', { app: me })
    await until(() => done.length >= 2, 'both jobs')
    assert.deepEqual([...new Set(done)], [me])
    await agenda.stop()
    await db.db.collection('agendaJobs').drop()
    await db.close()
  },

  async sessions() {
    const store = MongoStore.create({ mongoUrl: url, dbName: databaseName, ttl: 60 })
    await sessions(store)
    await store.close()
  },
}
for (const name of process.argv.slice(2)) await steps[name]()
process.exit(0)
