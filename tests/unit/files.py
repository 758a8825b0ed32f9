"""Files that use every key, in short and long forms."""

DESIGN = """
name: mng
target: local
postgres: {version: 17}
redis:    {version: 8, memory: 70%}
apps:
  grafana:  {postgres: grafana}
  keycloak: {postgres: keycloak}
  chat-app: {mongodb: chatdb, redis: "chat:*"}
  worker: {queue: "jobs:*", legacy: {database: crm, access: readonly}}
mongodb:
  databases:
    chatdb:
      indexes:
        users:    [{keys: {username: 1}, unique: true}]
        messages: [{keys: {roomId: 1, createdAt: -1}}, {keys: {senderId: 1, createdAt: -1}}]
        refreshtokens: [{keys: {expiresAt: 1}, ttl: 0s}]
backup:
  store: ./backups
  keep: {daily: 7, weekly: 4, monthly: 12, point_in_time: 24h}
  at: "03:00"
  drill: {every: 90d, rto: 30m}
instances:
  queue:  {engine: redis, eviction: noeviction, port: 6380}
  legacy:
    engine: postgres
    target: {external: {url: "postgresql://admin@db.example:5432/postgres"}}
"""
LONG = """
name: long
target: {local: {data: /srv/x, account: databases}}
tls: true
vault: {files: {path: ./secrets}}
binaries: {postgres: /a, redis: /b, mongodb: /c}
postgres:
  version: "17.10"
  port: 5433
  bind: [127.0.0.1, "::1"]
  tls: false
  memory: 2gb
  settings: {work_mem: 32MB, jit: false, random_page_cost: 1.10, "log_line_prefix": "$${a} $$"}
  max_connections: 50
  slow: 0s
redis:
  target: {local: }
  samples: 10
  appendonly: false
  appendfsync: always
  rewrite_percentage: 50
  rewrite_min_size: 1.5mb
  save: [{after: 15m, changes: 1}]
  timeout: 0s
  tcp_keepalive: 1m
  max_clients: 100
  slow_entries: 10
mongodb:
  max_connections: 100
  slow: 50ms
  oplog: 2000
  databases:
    shop:
      indexes:
        "08": [{keys: {"$**": 1}}]
        a.b:
          - {keys: {a: 1, b: -1}, name: both, unique: true, sparse: true}
          - {keys: {c: text}, partial: {c: {$gt: 1.50, $exists: true}}}
apps:
  a:
    postgres:
      database: "08"
      access: owner
      connections: 5
      statement_timeout: 30s
      lock_timeout: 5s
      idle_in_transaction_timeout: 0s
      extensions: [pg_trgm]
    redis: {keys: ["a:*", b], channels: ["a:*"], access: readonly, commands: [-eval, +role]}
    mongodb: {database: shop, access: readonly}
  "true": {redis: ["x:*"]}
alerts:
  rules:
    RedisHighMemory: {threshold: 0.9, for: 10m, severity: critical}
    RedisEvictedKeys: {enabled: false}
    RedisDown: true
  channels:
    team: {kind: slack, severity: info}
    ops:
      kind: email
      host: smtp.example
      port: 25
      from: a@b.example
      to: [c@d.example]
      user: mngdb
      encryption: starttls
  every: 30s
  group: 1m
  repeat: 1d
  runbook: https://wiki.example/playbook
sso:
  issuer: https://keycloak.example/realms/mng
  client: pages
  inside: http://keycloak:8080
  ca: ca.crt
  roles: [redis-admin, "account:view"]
  session: 12h
redisinsight:
  url: https://redisinsight.example:8443
  accept_terms: true
  certificate: {certificate: page.crt, key: page.key}
"""
