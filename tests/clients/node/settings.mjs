// The settings of an app, from the variables that `mngdb env APP` prints.
import { readFileSync } from 'node:fs'

const env = process.env

/** A prefix of the app's keys: `shop:`. */
export const PREFIX = env.REDIS_KEY_PREFIX

/** Options of ioredis. */
export const redisOptions = {
  host: env.REDIS_HOST,
  port: Number(env.REDIS_PORT),
  username: env.REDIS_USER,
  password: env.REDIS_PASSWORD,
  tls: env.REDIS_CA ? { ca: readFileSync(env.REDIS_CA) } : undefined,
}

/** Options of node-redis. */
export const nodeRedisOptions = {
  username: env.REDIS_USER,
  password: env.REDIS_PASSWORD,
  socket: {
    host: env.REDIS_HOST,
    port: Number(env.REDIS_PORT),
    ...(env.REDIS_CA ? { tls: true, ca: readFileSync(env.REDIS_CA) } : {}),
  },
}

/** Wait until a condition holds; it may be asynchronous. */
export async function until(condition, what) {
  for (let tries = 0; tries < 200; tries++) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`not within ten seconds: ${what}`)
}
