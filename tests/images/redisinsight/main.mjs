// A page in RedisInsight's place, whose image is not to be had where the tests run. It reads the
// same file of connections from the same variable, refuses to start without its key and the terms,
// logs in to each Redis with it, and shows what INFO says and what headers it was sent.
import http from 'node:http'
import net from 'node:net'
import tls from 'node:tls'
import { readFileSync, writeFileSync } from 'node:fs'

const env = process.env
if (env.RI_ACCEPT_TERMS_AND_CONDITIONS !== 'true') throw new Error('terms are not accepted')
if (!env.RI_ENCRYPTION_KEY) throw new Error('no key')
const connections = JSON.parse(readFileSync(env.RI_PRE_SETUP_DATABASES_PATH, 'utf8'))
writeFileSync(`${env.RI_APP_FOLDER_ABSOLUTE_PATH}/redisinsight.db`, 'the page may write here')

const command = (...words) =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`

function info({ host, port, username, password, tls: secure, caCert }) {
  const auth = username ? ['AUTH', username, password] : ['AUTH', password]
  return new Promise((resolve) => {
    const socket = secure
      ? tls.connect({ host, port, ca: caCert.certificate })
      : net.connect({ host, port })
    let text = ''
    socket.setTimeout(5000, () => socket.destroy(new Error('timeout')))
    socket.on('error', (error) => resolve(`error: ${error.message}`))
    socket.on('data', (data) => (text += data))
    socket.on('end', () => resolve(text.match(/redis_version:(\S+)/)?.[1] ?? `error: ${text}`))
    socket.write(command(...auth) + command('INFO', 'server') + command('QUIT'))
  })
}

http
  .createServer(async (req, res) => {
    if (req.url === '/api/health/') return res.end('{"status":"up"}')
    const versions = {}
    for (const one of connections) versions[one.name] = await info(one)
    const page = { title: 'Redis Insight', versions, headers: req.headers, path: req.url }
    res.setHeader('content-type', 'text/html')
    res.end(`<!doctype html><title>Redis Insight</title><pre id=seen>${JSON.stringify(page)}</pre>`)
  })
  .listen(Number(env.RI_APP_PORT ?? 5540), env.RI_APP_HOST ?? '0.0.0.0')
process.on('SIGTERM', () => process.exit(0))
