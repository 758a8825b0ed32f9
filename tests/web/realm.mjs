// An OpenID provider (npm's oidc-provider) with the paths of a Keycloak realm, for tests.
// node realm.mjs MODULES PORT REALM: the client and its person come as JSON on standard input.
import { createRequire } from 'node:module'
import http from 'node:http'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const [modules, port, issuer] = process.argv.slice(2)
const resolve = createRequire(`${modules}/here.js`).resolve
const { Provider } = await import(pathToFileURL(resolve('oidc-provider')))
const jose = await import(pathToFileURL(resolve('jose')))
const { client, person, roles } = JSON.parse(readFileSync(0, 'utf8'))
const oidc = '/protocol/openid-connect'

const provider = new Provider(issuer, {
  clients: [client],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username'] },
  conformIdTokenClaims: false, // as Keycloak: the ID token has the claims itself
  async findAccount(_, id) {
    return { accountId: id, claims: () => ({ sub: id, email_verified: true, ...person }) }
  },
  routes: {
    authorization: `${oidc}/auth`,
    token: `${oidc}/token`,
    userinfo: `${oidc}/userinfo`,
    jwks: `${oidc}/certs`,
    end_session: `${oidc}/logout`,
  },
  // as Keycloak's refresh tokens: without offline_access; consent is given in advance
  issueRefreshToken: async () => true,
  async loadExistingGrant(ctx) {
    const grant = new provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    })
    grant.addOIDCScope('openid email profile')
    grant.addResourceScope(issuer, 'openid email profile')
    await grant.save()
    return grant
  },
  // as Keycloak: access tokens are JWTs that name the person's roles
  features: {
    resourceIndicators: {
      enabled: true,
      defaultResource: () => issuer,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: 'openid email profile', accessTokenFormat: 'jwt' }),
    },
  },
  extraTokenClaims: () => ({ realm_access: { roles } }),
})
provider.proxy = true
const keys = jose.createRemoteJWKSet(new URL(`http://127.0.0.1:${port}${new URL(issuer).pathname}${oidc}/certs`))
const sessions = new Set()
provider.on('session.saved', (session) => sessions.add(session.uid))
const handle = provider.callback()
const prefix = new URL(issuer).pathname

http
  .createServer(async (req, res) => {
    const url = new URL(req.url, issuer)
    if (!url.pathname.startsWith(prefix)) return res.writeHead(404).end()
    const hint = url.searchParams.get('id_token_hint')
    if (url.pathname === `${prefix}${oidc}/logout` && hint) {
      // as Keycloak: a good ID token ends its person's session, also when a server asks
      const good = await provider.IdToken.validate(hint, await provider.Client.find(client.client_id))
      for (const uid of sessions) {
        const session = await provider.Session.findByUid(uid)
        if (session?.accountId === good.payload.sub) await session.destroy()
      }
      return res.writeHead(200).end()
    }
    if (url.pathname === `${prefix}${oidc}/userinfo`) {
      // as Keycloak: a token for other services is good enough to ask who its person is
      const token = req.headers.authorization?.replace(/^Bearer /, '') ?? ''
      const good = await jose.jwtVerify(token, keys, { issuer }).catch(() => undefined)
      if (!good) return res.writeHead(401).end()
      res.writeHead(200, { 'content-type': 'application/json' })
      return res.end(JSON.stringify({ sub: good.payload.sub, email_verified: true, ...person }))
    }
    req.originalUrl = req.url
    req.url = req.url.slice(prefix.length)
    handle(req, res)
  })
  .listen(Number(port), '0.0.0.0', () => console.log('ready'))
