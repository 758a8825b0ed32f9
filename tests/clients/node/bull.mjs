// Bull, before BullMQ: jobs, retries, delays, progress, repeated jobs, pause, clean, obliterate; with
// COUNT_WORKERS getWorkers.
import assert from 'node:assert/strict'
import Queue from 'bull'
import { PREFIX, redisOptions, until } from './settings.mjs'

const me = redisOptions.username
const options = { prefix: PREFIX.slice(0, -1), redis: redisOptions }
const queue = new Queue('mail', options)
const done = []
let failures = 0
queue.on('failed', () => failures++)
queue.process(async (job) => {
  assert.equal(job.data.app, me)
  if (job.data.flaky && job.attemptsMade === 0) throw new Error('once')
  await job.progress(50)
  done.push(job.data.name)
  return job.data.name
})
await queue.isReady()

// another connection hears of it by pub/sub
const other = new Queue('mail', options)
const heard = []
other.on('global:progress', (id, progress) => heard.push(progress))
await other.isReady()

const job = await other.add({ app: me, name: 'plain' })
assert.equal(await job.finished(), 'plain')
await until(() => heard.length > 0, 'the progress')
await (await other.add({ app: me, name: 'flaky', flaky: true }, { attempts: 2, backoff: 10 })).finished()
assert.equal(failures, 1)
await (await other.add({ app: me, name: 'late' }, { delay: 50, priority: 3 })).finished()
await other.addBulk([{ data: { app: me, name: 'bulk' } }, { data: { app: me, name: 'bulk' } }])
await until(() => done.filter((name) => name === 'bulk').length === 2, 'both bulk jobs')
await other.add({ app: me, name: 'tick' }, { repeat: { every: 200 } })
await until(() => done.includes('tick'), 'a tick')
const [repeated] = await other.getRepeatableJobs()
await other.removeRepeatableByKey(repeated.key)
if (process.env.COUNT_WORKERS) assert.equal((await other.getWorkers()).length, 1)
await other.pause()
await other.add({ app: me, name: 'held' })
await other.resume()
await until(() => done.includes('held'), 'the held job')
assert.equal((await other.getJobCounts()).failed, 0)
await other.clean(0, 'completed')
await queue.pause(true)
await other.obliterate({ force: true })
await Promise.all([queue.close(), other.close()])
