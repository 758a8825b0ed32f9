// Prisma's migrate dev, deploy, reset and db push, with its shadow database, and its client. Its
// engines are those in npm's packages (WebAssembly), which need `engine: 'js'`.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'

writeFileSync('schema.prisma', `
generator client {
  provider   = "prisma-client"
  output     = "./generated"
  engineType = "client"
  importFileExtension = "ts"
}

datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model Book {
  id   Int    @id @default(autoincrement())
  name String @unique
}
`)
writeFileSync('prisma.config.ts', `
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { defineConfig } from 'prisma/config'

// the adapter does not know "char" and name, which catalogs have
const { addFields } = pg.Result.prototype
pg.Result.prototype.addFields = function (fields) {
  for (const field of fields) if ([18, 19].includes(field.dataTypeID)) field.dataTypeID = 25
  return addFields.call(this, fields)
}

export default defineConfig({
  schema: 'schema.prisma',
  migrations: { path: 'migrations' },
  experimental: { adapter: true },
  engine: 'js',
  adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL }),
})
`)
const prisma = (...words) => {
  const env = { ...process.env, CHECKPOINT_DISABLE: '1' } // it asks for news
  execFileSync(process.execPath, ['node_modules/prisma/build/index.js', ...words], { env, encoding: 'utf8' })
}
prisma('migrate', 'dev', '--name', 'first')
prisma('migrate', 'deploy')
prisma('db', 'push')
prisma('generate')

const { PrismaClient } = await import(`${process.cwd()}/generated/client.ts`)
const { PrismaPg } = await import('@prisma/adapter-pg')
const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL })
const client = new PrismaClient({ adapter })
const name = new URL(process.env.DATABASE_URL).username
await client.$transaction([client.book.create({ data: { name } })])
assert.equal((await client.book.findFirst()).name, name)
await client.$disconnect()
prisma('migrate', 'reset', '--force', '--skip-generate')
