// pg, Knex, Sequelize, TypeORM, Drizzle, pg-boss and connect-pg-simple, with the rights of the app that owns its
// database. What each makes it drops.
import assert from 'node:assert/strict'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import { pgTable, serial, text } from 'drizzle-orm/pg-core'
import pgSimple from 'connect-pg-simple'
import session from 'express-session'
import knex from 'knex'
import { mkdirSync, writeFileSync } from 'node:fs'
import pg from 'pg'
import PgBoss from 'pg-boss'
import { DataTypes, Sequelize } from 'sequelize'
import { DataSource, EntitySchema } from 'typeorm'
import { sessions } from './sessions.mjs'
import { until } from './settings.mjs'

const connectionString = process.env.POSTGRES_URL
const me = process.env.POSTGRES_USER

const steps = {
  async pg() {
    const pool = new pg.Pool({ connectionString, max: 4 })
    await pool.query('CREATE TABLE plain (id serial PRIMARY KEY, name text)')
    await Promise.all([1, 2, 3].map((n) => pool.query('INSERT INTO plain (name) VALUES ($1)', [`${n}`])))
    assert.equal((await pool.query('SELECT count(*)::int AS n FROM plain')).rows[0].n, 3)
    const listener = await pool.connect()
    const heard = new Promise((resolve) => listener.on('notification', ({ payload }) => resolve(payload)))
    await listener.query('LISTEN news')
    await pool.query("SELECT pg_notify('news', 'hello')")
    assert.equal(await heard, 'hello')
    listener.release()
    await pool.query('DROP TABLE plain')
    await pool.end()
  },

  async knex() {
    const db = knex({ client: 'pg', connection: connectionString })
    const migrationSource = {
      getMigrations: async () => ['first'],
      getMigrationName: (name) => name,
      getMigration: async () => ({
        up: (to) => to.schema.createTable('books', (table) => (table.increments(), table.jsonb('data'))),
        down: (to) => to.schema.dropTable('books'),
      }),
    }
    await db.migrate.latest({ migrationSource })
    await db.transaction((change) => change('books').insert({ data: { app: me } }))
    assert.equal((await db('books').first()).data.app, me)
    await db.migrate.rollback({ migrationSource })
    await db.schema.dropTable('knex_migrations').dropTable('knex_migrations_lock')
    await db.destroy()
  },

  async sequelize() {
    const db = new Sequelize(connectionString, { logging: false })
    const kind = DataTypes.ENUM('a', 'b')
    const Book = db.define('Book', { id: { type: DataTypes.UUID, primaryKey: true, defaultValue: DataTypes.UUIDV4 }, kind })
    const Page = db.define('Page', { number: DataTypes.INTEGER })
    Book.hasMany(Page)
    await db.sync({ force: true })
    const book = await Book.create({ kind: 'a', Pages: [{ number: 1 }] }, { include: Page })
    assert.equal((await book.getPages()).length, 1)
    await db.sync({ alter: true })
    await db.transaction((transaction) => Book.destroy({ where: {}, transaction }))
    await db.drop({})
    await db.close()
  },

  async typeorm() {
    const columns = { id: { type: 'uuid', primary: true, generated: 'uuid' }, name: { type: 'text' } }
    const Book = new EntitySchema({ name: 'ormbook', columns, indices: [{ columns: ['name'] }] })
    const db = new DataSource({
      type: 'postgres', url: connectionString, entities: [Book], synchronize: true,
      uuidExtension: 'pgcrypto', installExtensions: false,
    })
    await db.initialize()
    const saved = await db.getRepository('ormbook').save({ name: me })
    assert.equal((await db.getRepository('ormbook').findOneBy({ id: saved.id })).name, me)
    await db.dropDatabase()
    await db.destroy()
  },

  async drizzle() {
    mkdirSync('drizzle/meta', { recursive: true })
    const entries = [{ idx: 0, version: '7', when: 1, tag: '0000_first', breakpoints: true }]
    writeFileSync('drizzle/meta/_journal.json', JSON.stringify({ version: '7', dialect: 'postgresql', entries }))
    writeFileSync('drizzle/0000_first.sql', 'CREATE TABLE notes (id serial PRIMARY KEY, body text);')
    const notes = pgTable('notes', { id: serial().primaryKey(), body: text() })
    const pool = new pg.Pool({ connectionString })
    const db = drizzle(pool)
    await migrate(db, { migrationsFolder: 'drizzle' })
    await db.transaction((change) => change.insert(notes).values({ body: me }))
    assert.equal((await db.select().from(notes))[0].body, me)
    await pool.query('DROP TABLE notes; DROP SCHEMA drizzle CASCADE')
    await pool.end()
  },

  async pgboss() {
    const boss = new PgBoss({ connectionString, schema: 'jobs' })
    const done = []
    boss.on('error', (error) => { throw error })
    await boss.start()
    await boss.createQueue('mail')
    await boss.work('mail', { pollingIntervalSeconds: 0.5 }, async ([job]) => done.push(job.data.app))
    await boss.send('mail', { app: me })
    await boss.schedule('mail', '0 3 * * *', { app: me })
    await until(() => done.length === 1, 'the job')
    assert.deepEqual(done, [me])
    await boss.stop({ graceful: false, wait: true })
    const client = new pg.Client({ connectionString })
    await client.connect()
    await client.query('DROP SCHEMA jobs CASCADE')
    await client.end()
  },

  async sessions() {
    const pool = new pg.Pool({ connectionString })
    const store = new (pgSimple(session))({ pool, createTableIfMissing: true })
    await sessions(store)
    await store.close()
    await pool.query('DROP TABLE session')
    await pool.end()
  },
}
for (const name of process.argv.slice(2)) await steps[name]()
process.exit(0)
