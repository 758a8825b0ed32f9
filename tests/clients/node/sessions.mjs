// What express-session does with a store.
import assert from 'node:assert/strict'
import express from 'express'
import session from 'express-session'

/** An Express app on a port of its own: its URL, and how it ends. */
export async function serve(app) {
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.on('listening', resolve))
  const close = () => (server.close(), server.closeAllConnections())
  return { url: `http://127.0.0.1:${server.address().port}`, close }
}

/** A session begins, goes on and ends. */
export async function sessions(store) {
  const app = express()
  app.use(session({ store, secret: 'for a test', resave: false, saveUninitialized: false }))
  app.get('/count', (request, response) => {
    request.session.count = (request.session.count ?? 0) + 1
    response.json(request.session.count)
  })
  app.get('/end', (request, response) => request.session.destroy((error) => response.json(error ?? 'ended')))
  const { url, close } = await serve(app)
  const first = await fetch(`${url}/count`)
  const headers = { cookie: first.headers.get('set-cookie').split(';')[0] }
  const ask = async (path) => (await fetch(url + path, { headers })).json()
  assert.equal(await first.json(), 1)
  assert.equal(await ask('/count'), 2)
  assert.equal(await ask('/end'), 'ended')
  assert.equal(await ask('/count'), 1)
  close()
}
