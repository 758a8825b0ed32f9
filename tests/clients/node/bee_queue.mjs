// Bee-Queue: jobs, progress, events by pub/sub, retries, delayed jobs, health, destroy.
import assert from 'node:assert/strict'
import Queue from 'bee-queue'
import { PREFIX, redisOptions, until } from './settings.mjs'

const { host, port, username, password } = redisOptions
const redis = { host, port, user: username, password }
const settings = { prefix: `${PREFIX}bq`, redis, activateDelayedJobs: true }
const queue = new Queue('mail', settings)
const worker = new Queue('mail', settings)
let failures = 0
worker.process(async (job) => {
  assert.equal(job.data.app, username)
  if (job.data.flaky && failures++ === 0) throw new Error('once')
  job.reportProgress({ half: true })
  return job.data.app
})
await queue.ready()

const save = (job) => new Promise((resolve, reject) => {
  job.on('succeeded', resolve)
  job.on('failed', reject)
  job.save().catch(reject)
})
const progress = []
const job = queue.createJob({ app: username })
job.on('progress', (told) => progress.push(told))
assert.equal(await save(job), username)
assert.equal(progress.length, 1)
await save(queue.createJob({ app: username, flaky: true }).retries(1))
assert.equal(failures, 1 + 1)
await save(queue.createJob({ app: username }).delayUntil(Date.now() + 100))
await until(async () => (await queue.checkHealth()).succeeded === 3, 'three jobs')
assert.equal((await queue.getJobs('succeeded', { size: 10 })).length, 3)
await worker.close()
await queue.destroy()
await queue.close()
