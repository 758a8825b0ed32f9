// Graphile Worker: its schema, jobs, retries, a crontab.
import assert from 'node:assert/strict'
import { makeWorkerUtils, run } from 'graphile-worker'
import { until } from './settings.mjs'

const connectionString = process.env.POSTGRES_URL
const done = []
let tries = 0
const runner = await run({
  connectionString,
  pollInterval: 100,
  noHandleSignals: true,
  taskList: {
    plain: async (payload) => void done.push(payload.name),
    flaky: async () => { if (++tries < 2) throw new Error('once') },
  },
  crontab: '* * * * * plain ?fill=1m {"name": "tick"}',
})
const utils = await makeWorkerUtils({ connectionString })
await utils.addJob('plain', { name: 'one' })
await utils.addJob('plain', { name: 'late' }, { runAt: new Date(Date.now() + 300), jobKey: 'late' })
const flaky = await utils.addJob('flaky', {}, { maxAttempts: 3 })
await until(() => tries === 1, 'the first try')
await utils.rescheduleJobs([flaky.id], { runAt: new Date() })
await until(() => tries === 2 && done.includes('one') && done.includes('late'), 'all jobs')
await utils.withPgClient((client) => client.query('select * from graphile_worker.jobs'))
await utils.release()
await runner.stop()
assert.ok(done.length >= 2)
