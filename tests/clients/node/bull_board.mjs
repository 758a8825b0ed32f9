// bull-board's pages of a queue of BullMQ: jobs listed, one tried again, the queue emptied.
import assert from 'node:assert/strict'
import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { ExpressAdapter } from '@bull-board/express'
import { Queue, Worker } from 'bullmq'
import express from 'express'
import { serve } from './sessions.mjs'
import { PREFIX, redisOptions, until } from './settings.mjs'

const options = { connection: { ...redisOptions, maxRetriesPerRequest: null }, prefix: PREFIX.slice(0, -1) }
const queue = new Queue('mail', options)
const worker = new Worker('mail', async () => { throw new Error('meant') }, options)
const job = await queue.add('one', { app: PREFIX })
await until(() => job.isFailed(), 'the job fails')

const serverAdapter = new ExpressAdapter()
serverAdapter.setBasePath('/board')
createBullBoard({ queues: [new BullMQAdapter(queue)], serverAdapter })
const app = express()
app.use('/board', serverAdapter.getRouter())
const { url, close } = await serve(app)
const board = `${url}/board/api/queues`
const { queues: [shown] } = await (await fetch(`${board}?activeQueue=mail&status=failed`)).json()
assert.equal(shown.counts.failed, 1)
assert.equal(shown.jobs[0].data.app, PREFIX)
assert.equal((await fetch(`${board}/mail/${job.id}/retry`, { method: 'PUT' })).status, 204)
await until(async () => (await queue.getJob(job.id)).attemptsStarted === 2, 'the job is tried again')
close()
await worker.close()
await queue.obliterate({ force: true })
await queue.close()
