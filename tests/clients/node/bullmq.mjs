// BullMQ: jobs, retries, delays, events, priorities, flows, schedulers, rate limit, pause, metrics,
// clean, obliterate; with COUNT_WORKERS getWorkers.
import assert from 'node:assert/strict'
import { FlowProducer, Queue, QueueEvents, Worker } from 'bullmq'
import { PREFIX, redisOptions, until } from './settings.mjs'

const me = redisOptions.username
const options = { prefix: `${PREFIX}bull`, connection: redisOptions }
const queue = new Queue('mail', options)
const events = new QueueEvents('mail', options)
const done = []
let failures = 0
const worker = new Worker('mail', async (job) => {
  assert.equal(job.data.app, me)
  if (job.name === 'flaky' && job.attemptsMade === 0) throw new Error('once')
  await job.updateProgress(50)
  await job.log('half')
  done.push(job.name)
  return job.name
}, { ...options, name: 'postman', limiter: { max: 100, duration: 100 }, metrics: { maxDataPoints: 10 } })
worker.on('failed', () => failures++)
await events.waitUntilReady()
await worker.waitUntilReady()

const data = { app: me }
const job = await queue.add('plain', data)
assert.equal(await job.waitUntilFinished(events, 10_000), 'plain')
const flaky = await queue.add('flaky', data, { attempts: 2, backoff: { type: 'fixed', delay: 10 } })
await flaky.waitUntilFinished(events, 10_000)
assert.equal(failures, 1)
const late = await queue.add('late', data, { delay: 50, priority: 3 })
await late.waitUntilFinished(events, 10_000)
await queue.addBulk([{ name: 'bulk', data }, { name: 'bulk', data, opts: { deduplication: { id: 'one' } } }])
await until(() => done.filter((name) => name === 'bulk').length === 2, 'both bulk jobs')

await queue.upsertJobScheduler('tick', { every: 100 }, { name: 'tick', data })
await until(() => done.filter((name) => name === 'tick').length >= 2, 'two ticks')
assert.equal((await queue.getJobSchedulers()).length, 1)
await queue.removeJobScheduler('tick')

const flow = new FlowProducer(options)
const children = [1, 2].map(() => ({ name: 'child', queueName: 'mail', data }))
const tree = await flow.add({ name: 'parent', queueName: 'mail', data, children })
await tree.job.waitUntilFinished(events, 10_000)
assert.equal(Object.keys(await tree.job.getChildrenValues()).length, 2)

// CLIENT LIST tells of all apps: on an instance of its own alone
if (process.env.COUNT_WORKERS) assert.equal((await queue.getWorkers()).length, 1)
await queue.pause()
await queue.add('held', data)
await queue.resume()
await until(() => done.includes('held'), 'the held job')
assert.ok((await queue.getMetrics('completed')).meta.count > 0)
assert.equal((await queue.getJobLogs(job.id)).count, 1)
await queue.clean(0, 100, 'completed')
await queue.drain()
await worker.close()
await queue.obliterate({ force: true })
await Promise.all([queue.close(), events.close(), flow.close()])
