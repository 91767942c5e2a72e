// One pg-boss, driven over standard input and output: a JSON object a line, {"id", "do", ...arguments}, answered by
// {"id", "ok"} or {"id", "error"}. What the versions call differently is the same here.
//
//   node driver.mjs FOLDER ALIAS      FOLDER holds node_modules, ALIAS is a dependency in package.json
//
// It ends when its standard input does.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'

const [, , folder, alias] = process.argv
const home = join(folder, 'node_modules', alias)
const about = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'))
const loaded = await import(pathToFileURL(join(home, about.main)).href)
const PgBoss = loaded.PgBoss ?? loaded.default
const { default: pg } = await import(pathToFileURL(createRequire(join(home, 'x.js')).resolve('pg')).href)
const major = Number(about.version.split('.')[0])

// pg-boss supervises when it is told to, and then at once: a second is the shortest interval it takes.
const DEFAULTS = {
  supervise: false,
  schedule: false,
  monitorIntervalSeconds: 1,
  maintenanceIntervalSeconds: 1,
  cronMonitorIntervalSeconds: 1,
  cronWorkerIntervalSeconds: 1,
  max: 3
}

let boss = null
let schema = null
let pool = null
let errors = []
let worked = {}

// pg-boss writes the schema's name bare: Postgres folds it, unless (12 only) it comes in double quotes.
const quoted = name => (name.startsWith('"') ? name : `"${name.toLowerCase()}"`)
const sql = async (text, values) => (await pool.query(text.replaceAll('$schema', quoted(schema)), values)).rows

function refuse (condition, what) {
  if (condition) throw new Error(`pg-boss ${about.version} has no ${what}`)
}

// Options of a queue, and of a job that is sent.
function queueOptions (options) {
  if (major > 10) return options
  const { retentionSeconds, deleteAfterSeconds, partition, ...rest } = options
  refuse(deleteAfterSeconds !== undefined, 'deleteAfterSeconds of a queue')
  refuse(partition === false, 'queue without a partition of its own')
  return retentionSeconds === undefined ? rest : { ...rest, retentionMinutes: Math.ceil(retentionSeconds / 60) }
}

function jobOptions (options) {
  refuse(options.group !== undefined && major < 12, 'group of a job')
  refuse(options.deadLetter !== undefined && major === 11, 'dead letter queue of a job')
  refuse(options.heartbeatSeconds !== undefined && major < 12, 'heartbeat of a job')
  refuse(options.deleteAfterSeconds !== undefined && major < 11, 'deleteAfterSeconds of a job')
  return options
}

// A row for insert(), which takes what send() takes with the data beside it. 12.27's insert() leaves a group out, but
// takes the names of its columns; 10 knows a job's retention by its end alone.
function row (name, { data, group, retentionSeconds, ...options }) {
  const made = { ...jobOptions({ ...options, ...(group && { group }) }), data: data ?? null }
  delete made.group
  if (group) Object.assign(made, { groupId: group.id, groupTier: group.tier })
  if (major > 10) return retentionSeconds === undefined ? made : { ...made, retentionSeconds }
  const keep = retentionSeconds === undefined ? {} : { keepUntil: new Date(Date.now() + retentionSeconds * 1000).toISOString() }
  return { ...made, ...keep, name }
}

// What a worker does with a job stands in its data.
async function perform (queue, job) {
  const data = job.data ?? {}
  const count = (worked[queue] ??= { attempts: 0, succeeded: 0, failed: 0, hung: 0 })
  count.attempts++
  if (data.seconds) await sleep(data.seconds * 1000)
  if (data.do === 'hang') {
    count.hung++
    await new Promise(() => {})
  }
  if (data.do === 'fail' || (data.do === 'nth' && job.retryCount + 1 < data.n)) {
    count.failed++
    throw new Error(data.message ?? 'told to fail')
  }
  count.succeeded++
  return { attempt: job.retryCount + 1 }
}

// Waits until an interval of a second has passed since the claims of the queues, as pg-boss itself asks before it works.
async function due (names) {
  const columns = (await sql("SELECT attname AS name FROM pg_attribute WHERE attrelid = '$schema.queue'::regclass AND attnum > 0")).map(found => found.name)
  const claim = columns.includes('monitor_claim_on') ? 'coalesce(monitor_claim_on, monitor_on)' : 'monitor_on'
  const [{ wait }] = await sql(
    `SELECT 1.01 - extract(epoch FROM now() - max(greatest(${claim}, maintain_on)))::float8 AS wait FROM $schema.queue WHERE $1::text[] IS NULL OR name = ANY($1)`, [names])
  if (wait > 0) await sleep(wait * 1000)
}

const affected = answer => answer?.affected ?? 0

const commands = {
  async start ({ dsn, schema: name, options = {} }) {
    if (boss) throw new Error('started already')
    schema = name
    errors = []
    worked = {}
    const { monitorIntervalSeconds, superviseIntervalSeconds, ...rest } = { ...DEFAULTS, ...options }
    const config = { ...rest, connectionString: dsn, schema: name }
    if (major > 10) {
      config.monitorIntervalSeconds = monitorIntervalSeconds
      if (superviseIntervalSeconds) config.superviseIntervalSeconds = superviseIntervalSeconds
    } else {
      // 10 has one timer for maintenance, and another, off by default, that counts states.
      if (superviseIntervalSeconds) config.maintenanceIntervalSeconds = superviseIntervalSeconds
      if (options.monitorIntervalSeconds) config.monitorStateIntervalSeconds = options.monitorIntervalSeconds
    }
    pool = new pg.Pool({ connectionString: dsn, max: 1, application_name: 'pgboss-driver' })
    pool.on('error', error => errors.push(error.message))
    boss = new PgBoss(config)
    boss.on('error', error => errors.push(String(error?.message ?? error)))
    try {
      await boss.start()
    } catch (error) {
      await commands.close()
      throw error
    }
    return { version: about.version, schemaVersion: (await sql('SELECT version FROM $schema.version'))[0].version }
  },

  async stop ({ graceful = true, timeout = 5 }) {
    await boss.stop({ graceful, timeout: timeout * 1000, wait: true })
    await commands.close()
  },

  async close () {
    const ending = pool
    boss = pool = null
    await ending?.end()
  },

  errors: () => errors,

  // Its sessions report their statistics now, as they do by themselves within ten seconds: told of an instance with one.
  async flush () {
    refuse(boss.getDb().config.max !== 1, 'one session')
    await boss.getDb().executeSql('SELECT pg_stat_force_next_flush()', [])
  },

  async createQueue ({ queue, options = {} }) {
    const made = queueOptions(options)
    await boss.createQueue(queue, major === 10 ? { ...made, name: queue } : made)
    const [found] = await sql('SELECT * FROM $schema.queue WHERE name = $1', [queue])
    return { table: found.table_name ?? found.partition_name, policy: found.policy }
  },
  deleteQueue: ({ queue }) => boss.deleteQueue(queue),
  deleteQueuedJobs: ({ queue }) => (major === 10 ? boss.purgeQueue(queue) : boss.deleteQueuedJobs(queue)),

  send: ({ queue, data = null, options = {} }) => boss.send(queue, data, jobOptions(options)),
  async insert ({ queue, jobs }) {
    const rows = jobs.map(job => row(queue, job))
    for (let first = 0; first < rows.length; first += 1000) {
      const some = rows.slice(first, first + 1000)
      await (major === 10 ? boss.insert(some) : boss.insert(queue, some))
    }
  },
  flow ({ jobs }) {
    refuse(!boss.flow, 'flow')
    return boss.flow(jobs.map(({ queue, ...job }) => ({ ...job, name: queue })))
  },
  resolveFlow () {
    refuse(!boss.resolveFlow, 'flow')
    return boss.resolveFlow()
  },

  async fetch ({ queue, count = 1, options = {} }) {
    const jobs = (await boss.fetch(queue, { ...options, batchSize: count, includeMetadata: true })) ?? []
    return jobs.map(({ id, data, retryCount, state }) => ({ id, data, retryCount, state }))
  },
  complete: async ({ queue, ids, output }) => affected(await boss.complete(queue, ids, output)),
  fail: async ({ queue, ids, output }) => affected(await boss.fail(queue, ids, output)),
  cancel: async ({ queue, ids }) => affected(await boss.cancel(queue, ids)),
  resume: async ({ queue, ids }) => affected(await boss.resume(queue, ids)),
  retry: async ({ queue, ids }) => affected(await boss.retry(queue, ids)),
  deleteJob: async ({ queue, ids }) => affected(await boss.deleteJob(queue, ids)),
  async touch ({ queue, ids }) {
    refuse(!boss.touch, 'touch')
    return affected(await boss.touch(queue, ids))
  },
  async redrive ({ queue }) {
    refuse(!boss.redrive, 'redrive')
    await boss.redrive(queue)
  },

  async schedule ({ queue, cron, data = null, key, options = {} }) {
    refuse(key !== undefined && major === 10, 'key of a schedule')
    await boss.schedule(queue, cron, data, key === undefined ? options : { ...options, key })
  },
  unschedule: ({ queue, key }) => (key === undefined ? boss.unschedule(queue) : boss.unschedule(queue, key)),

  work: ({ queue, options = {} }) =>
    boss.work(queue, { pollingIntervalSeconds: 0.5, ...options, batchSize: 1, includeMetadata: true }, ([job]) => perform(queue, job)),
  async offWork ({ queue }) {
    await (major < 12 ? boss.offWork(queue) : boss.offWork(queue, { wait: true }))
  },
  worked: () => worked,

  // What the timers of pg-boss do, now: count, expire and delete.
  async supervise ({ queue }) {
    if (major > 10) {
      await due(queue === undefined ? null : [queue])
      await boss.supervise(queue)
      return
    }
    refuse(queue !== undefined, 'supervision of one queue')
    await sql('UPDATE $schema.version SET maintained_on = now()')
    await boss.maintain()
    await sql('UPDATE $schema.version SET monitored_on = now()')
    await boss.countStates()
  }
}

const lines = createInterface({ input: process.stdin })
const answer = message => process.stdout.write(`${JSON.stringify(message)}\n`)
console.log = console.info = console.warn = console.error

lines.on('line', async line => {
  const { id, do: what, ...rest } = JSON.parse(line)
  try {
    if (!Object.hasOwn(commands, what)) throw new Error(`no command ${what}`)
    if (!boss && !['start', 'close'].includes(what)) throw new Error('not started')
    answer({ id, ok: (await commands[what](rest)) ?? null })
  } catch (error) {
    answer({ id, error: `${what}: ${error?.message ?? error}` })
  }
})
lines.on('close', () => process.exit(0))
process.on('unhandledRejection', error => errors.push(String(error?.message ?? error)))
