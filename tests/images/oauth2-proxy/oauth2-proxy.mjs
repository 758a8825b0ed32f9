// What oauth2-proxy's documentation says of it, as far as the rendered configuration uses it, for
// machines that cannot have the real one. It takes no option that it does not know.
import crypto from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import { readFileSync } from 'node:fs'

const KNOWN = new Set(
  `http_address reverse_proxy trusted_proxy_ips upstreams provider oidc_issuer_url
  skip_oidc_discovery login_url redeem_url profile_url oidc_jwks_url backend_logout_url
  insecure_oidc_skip_nonce code_challenge_method client_id client_secret_file scope email_domains
  allowed_roles redirect_url whitelist_domains cookie_name cookie_secret_file cookie_samesite
  cookie_expire cookie_refresh api_routes skip_provider_button set_xauthrequest request_logging
  silence_ping_logging provider_ca_files use_system_trust_store`.split(/\s+/),
)
const file = process.argv.find((word) => word.startsWith('--config=')).slice('--config='.length)
const options = {}
for (const line of readFileSync(file, 'utf8').split('\n')) {
  if (!line || line.startsWith('#')) continue
  const [name, value] = line.split(/ = (.*)/s)
  if (!KNOWN.has(name)) throw new Error(`unknown option ${name}`)
  options[name] = JSON.parse(value)
}
const clientSecret = readFileSync(options.client_secret_file, 'utf8')
const cookieSecret = key(readFileSync(options.cookie_secret_file, 'utf8'))
const ca = options.provider_ca_files?.map((path) => readFileSync(path))
if (process.argv.includes('--config-test')) process.exit(0)

function key(text) {
  for (const bytes of [Buffer.from(text, 'base64url'), Buffer.from(text)]) {
    if ([16, 24, 32].includes(bytes.length)) return crypto.createHash('sha256').update(bytes).digest()
  }
  throw new Error('cookie_secret must be 16, 24 or 32 bytes')
}

function seal(value) {
  const iv = crypto.randomBytes(12)
  const cipher = crypto.createCipheriv('aes-256-gcm', cookieSecret, iv)
  const text = Buffer.concat([cipher.update(JSON.stringify(value)), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), text]).toString('base64url')
}

function unseal(text) {
  try {
    const raw = Buffer.from(text, 'base64url')
    const cipher = crypto.createDecipheriv('aes-256-gcm', cookieSecret, raw.subarray(0, 12))
    cipher.setAuthTag(raw.subarray(12, 28))
    return JSON.parse(Buffer.concat([cipher.update(raw.subarray(28)), cipher.final()]))
  } catch {
    return undefined
  }
}

function seconds(text) {
  const units = { s: 1, m: 60, h: 3600 }
  return text.match(/\d+[smh]/g).reduce((sum, one) => sum + parseInt(one) * units[one.at(-1)], 0)
}

// like the real one's, a large session is cut into several cookies
const cookie = (name, value, age) =>
  `${name}=${value}; Path=/; Max-Age=${age}; HttpOnly; Secure; SameSite=${options.cookie_samesite}`
function setSession(session, age) {
  const parts = seal(session).match(/.{1,3500}/g)
  return parts.map((part, i) => cookie(`${options.cookie_name}_${i}`, part, age))
}
function session(cookies) {
  let text = ''
  for (let i = 0; cookies[`${options.cookie_name}_${i}`]; i++) text += cookies[`${options.cookie_name}_${i}`]
  const found = unseal(text)
  return found && found.until > Date.now() ? found : undefined
}

function ask(url, { body, token } = {}) {
  const client = url.startsWith('https:') ? https : http
  return new Promise((resolve, reject) => {
    const headers = body ? { 'content-type': 'application/x-www-form-urlencoded' } : {}
    if (token) headers.authorization = `Bearer ${token}`
    const request = client.request(url, { method: body ? 'POST' : 'GET', headers, ca, timeout: 5000 })
    request.on('timeout', () => request.destroy(new Error('timeout')))
    request.on('error', reject)
    request.on('response', (answer) => {
      let text = ''
      answer.on('data', (data) => (text += data))
      answer.on('end', () => resolve({ status: answer.statusCode, text }))
    })
    request.end(body?.toString())
  })
}

const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))
async function verified(token, nonce) {
  const [head, body, signature] = token.split('.')
  const { kid, alg } = JSON.parse(Buffer.from(head, 'base64url'))
  const keys = JSON.parse((await ask(options.oidc_jwks_url)).text).keys
  const jwk = keys.find((one) => one.kid === kid)
  const publicKey = crypto.createPublicKey({ key: jwk, format: 'jwk' })
  const good = alg === 'RS256' &&
    crypto.verify('sha256', Buffer.from(`${head}.${body}`), publicKey, Buffer.from(signature, 'base64url'))
  const said = claims(token)
  const nonceHash = crypto.createHash('sha256').update(nonce).digest('base64url')
  if (!good || said.iss !== options.oidc_issuer_url || said.exp * 1000 < Date.now()) throw new Error('bad token')
  if (![said.aud].flat().includes(options.client_id) || said.nonce !== nonceHash) throw new Error('not our token')
  return said
}

function allowed(accessToken) {
  if (!options.allowed_roles) return true
  const said = claims(accessToken)
  const roles = [...(said.realm_access?.roles ?? [])]
  for (const [client, { roles: own }] of Object.entries(said.resource_access ?? {}))
    roles.push(...own.map((role) => `${client}:${role}`))
  return options.allowed_roles.some((role) => roles.includes(role))
}

function target(asked) {
  if (/^\/(?![/\\])/.test(asked ?? '')) return asked
  try {
    const url = new URL(asked)
    return options.whitelist_domains.includes(url.host) ? asked : '/'
  } catch {
    return '/'
  }
}

const csrfName = `${options.cookie_name}_csrf`
function start(res, rd) {
  const login = { state: crypto.randomUUID(), nonce: crypto.randomUUID(), verifier: crypto.randomBytes(48).toString('base64url') }
  const url = new URL(options.login_url)
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: options.client_id,
    redirect_uri: options.redirect_url,
    scope: options.scope,
    state: `${login.state}:${rd}`,
    nonce: crypto.createHash('sha256').update(login.nonce).digest('base64url'),
    code_challenge: crypto.createHash('sha256').update(login.verifier).digest('base64url'),
    code_challenge_method: options.code_challenge_method,
  })
  res.writeHead(302, { location: url.href, 'set-cookie': cookie(csrfName, seal(login), 900) }).end()
}

async function callback(res, query, cookies) {
  const login = unseal(cookies[csrfName] ?? '')
  const [state, ...rd] = (query.get('state') ?? '').split(':')
  if (!login || login.state !== state) return res.writeHead(403).end('csrf')
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    code: query.get('code'),
    redirect_uri: options.redirect_url,
    client_id: options.client_id,
    client_secret: clientSecret,
    code_verifier: login.verifier,
  })
  const answer = await ask(options.redeem_url, { body })
  if (answer.status !== 200) throw new Error(`token: ${answer.status} ${answer.text.slice(0, 200)}`)
  const tokens = JSON.parse(answer.text)
  const said = await verified(tokens.id_token, login.nonce)
  if (!said.email || said.email_verified === false) return res.writeHead(500).end('email')
  if (!allowed(tokens.access_token)) return res.writeHead(403).end('Forbidden')
  const age = seconds(options.cookie_expire)
  const kept = { user: said.sub, email: said.email, idToken: tokens.id_token, until: Date.now() + age * 1000 }
  Object.assign(kept, { at: Date.now(), refreshToken: tokens.refresh_token })
  const cleared = cookie(csrfName, '', 0)
  res.writeHead(302, { location: target(rd.join(':')), 'set-cookie': [...setSession(kept, age), cleared] }).end()
}

// asks for the session again when it is old enough; returns the headers of its new cookies
async function refreshed(found) {
  if (Date.now() - found.at < seconds(options.cookie_refresh) * 1000) return {}
  const body = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: found.refreshToken,
    client_id: options.client_id,
    client_secret: clientSecret,
  })
  const answer = await ask(options.redeem_url, { body })
  if (answer.status !== 200) throw new Error(`refresh: ${answer.status} ${answer.text.slice(0, 200)}`)
  const tokens = JSON.parse(answer.text)
  const next = { ...found, at: Date.now(), refreshToken: tokens.refresh_token ?? found.refreshToken }
  return { 'set-cookie': setSession(next, Math.round((found.until - Date.now()) / 1000)) }
}

async function signOut(res, query, cookies) {
  const had = session(cookies)
  if (had) {
    const url = options.backend_logout_url.replace('{id_token}', had.idToken)
    await ask(url).catch((error) => console.error(String(error)))
  }
  const names = Object.keys(cookies).filter((name) => name.startsWith(options.cookie_name))
  res.writeHead(302, { location: target(query.get('rd')), 'set-cookie': names.map((name) => cookie(name, '', 0)) }).end()
}

const server = http.createServer(async (req, res) => {
  const url = new URL(req.url, 'http://here')
  const pairs = (req.headers.cookie ?? '').split('; ').map((pair) => pair.split(/=(.*)/s))
  const cookies = Object.fromEntries(pairs.filter(([name]) => name))
  const uri = req.headers['x-forwarded-uri'] ?? req.url
  const host = req.headers['x-forwarded-host'] ?? req.headers.host
  try {
    if (['/ping', '/ready'].includes(url.pathname)) return res.end('OK')
    if (url.pathname === '/oauth2/callback') return await callback(res, url.searchParams, cookies)
    if (url.pathname === '/oauth2/sign_out') return await signOut(res, url.searchParams, cookies)
    if (url.pathname === '/oauth2/start') return start(res, target(url.searchParams.get('rd')))
    const found = session(cookies)
    if (found) {
      const headers = await refreshed(found)
      const said = { 'x-auth-request-user': found.user, 'x-auth-request-email': found.email }
      return res.writeHead(202, { ...headers, ...(options.set_xauthrequest ? said : {}) }).end()
    }
    const api = options.api_routes.some((route) => new RegExp(route).test(uri.split('?')[0]))
    if (api || url.pathname === '/oauth2/auth') return res.writeHead(401).end()
    start(res, target(`https://${host}${uri}`))
  } catch (error) {
    console.error(String(error))
    res.writeHead(500).end('Internal Server Error')
  }
})
const [address, port] = options.http_address.split(':')
server.listen(Number(port), address)
process.on('SIGTERM', () => process.exit(0))
