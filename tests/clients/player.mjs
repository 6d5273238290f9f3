// Plays a scenario with supabase-js, in node and in a browser alike: each verb is a function, each user a client of its own.
// Judges nothing but when to stop waiting: tests/clients/matching.py does.

const HEARD_WITHIN_MS = 45_000
const REFERENCE = /\$(?:\{([a-z]\w*(?:\.\w+)*)\}|([a-z]\w*(?:\.\w+)*))/g
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]

/** Every step, until one is refused that should not be. */
export async function play(createClient, { url, key, steps, known }) {
  const users = new Map()
  const transcript = []
  for (const { by = 'me', do: verb, as: name, expect: _, refused, ...given } of steps) {
    if (!users.has(by)) users.set(by, newUser(createClient, url, key))
    try {
      const answer = (await VERBS[verb](users.get(by), filled(given, known))) ?? null
      transcript.push({ answer })
      if (name) known[name] = answer
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      transcript.push({ refused: error.told })
      if (!refused) break
    }
  }
  for (const { client } of users.values()) await client.removeAllChannels()
  return transcript
}

function newUser(createClient, url, key) {
  const auth = { persistSession: false, autoRefreshToken: false, storageKey: crypto.randomUUID() }
  return { client: createClient(url, key, { auth }), channels: new Map() }
}

class Refused extends Error {
  constructor({ code, statusCode, message, name }) {
    super(message)
    this.told = { code: name?.startsWith('Storage') ? String(statusCode) : code, message }
  }
}

function ok({ data, error }) {
  if (error) throw new Refused(error)
  return data
}

// The references of a scenario: a whole one keeps its type, one inside a text becomes text.
function filled(value, known) {
  if (Array.isArray(value)) return value.map((item) => filled(item, known))
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, filled(item, known)]))
  if (typeof value !== 'string') return value
  const find = (path) => path.split('.').reduce((found, name) => found[name], known)
  const [whole] = value.matchAll(REFERENCE)
  if (whole && whole[0] === value) return find(whole[1] ?? whole[2])
  return value.replace(REFERENCE, (_, braced, plain) => String(find(braced ?? plain)))
}

// What `until` may say: equal values, and `~/pattern/` for texts.
function fits(wanted, seen) {
  if (wanted && typeof wanted === 'object') return Object.entries(wanted).every(([name, value]) => fits(value, seen?.[name]))
  if (typeof wanted === 'string' && wanted.startsWith('~/')) return new RegExp(wanted.slice(2, -1)).test(seen)
  return wanted === seen
}

class Heard {
  items = []
  #wake = () => {}
  constructor(channel) {
    this.channel = channel
  }
  add(item) {
    this.items.push(item)
    this.#wake()
  }
  async until(wanted) {
    const deadline = Date.now() + HEARD_WITHIN_MS
    while (!this.items.some((item) => fits(wanted, item))) {
      let timer
      const late = new Promise((_, fail) => (timer = setTimeout(() => fail(new Error(`not heard: ${JSON.stringify(wanted)}`)), deadline - Date.now())))
      await Promise.race([new Promise((wake) => (this.#wake = wake)), late])
      clearTimeout(timer)
    }
    return [...this.items]
  }
}

async function facts(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer())
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
  const told = { size_bytes: bytes.length, sha256 }
  if (bytes.length < 24 || !PNG.every((byte, place) => bytes[place] === byte)) return told
  const view = new DataView(bytes.buffer)
  return { ...told, width: view.getUint32(16), height: view.getUint32(20) }
}

async function signed({ client }, answer) {
  const { user } = ok(answer)
  await client.realtime.setAuth()
  return { id: user.id, email: user.email || null, is_anonymous: user.is_anonymous ?? false }
}

const where = (query, conditions = []) => conditions.reduce((built, [column, operator, value]) => built[operator](column, value), query)

const VERBS = {
  sign_in_anonymously: async (user) => signed(user, await user.client.auth.signInAnonymously()),
  sign_up: async (user, credentials) => signed(user, await user.client.auth.signUp(credentials)),
  sign_in: async (user, credentials) => signed(user, await user.client.auth.signInWithPassword(credentials)),
  refresh: async ({ client }) => {
    const before = ok(await client.auth.getSession()).session
    const { session, user } = ok(await client.auth.refreshSession())
    return { id: user.id, is_new: session.refresh_token !== before.refresh_token }
  },
  user: async ({ client }) => {
    const { user } = ok(await client.auth.getUser())
    return { id: user.id, role: user.role }
  },
  sign_out: async ({ client }) => {
    const { error } = await client.auth.signOut()
    if (error) throw new Refused(error)
  },

  insert: async ({ client }, { table, row }) => ok(await client.from(table).insert(row).select().single()),
  insert_many: async ({ client }, { table, rows }) => ok(await client.from(table).insert(rows).select()),
  update: async ({ client }, { table, values, where: conditions }) => ok(await where(client.from(table).update(values), conditions).select()),
  delete: async ({ client }, { table, where: conditions }) => ok(await where(client.from(table).delete(), conditions).select()),
  select: async ({ client }, { table, columns = '*', where: conditions, order, descending = false, limit, one = false }) => {
    let query = where(client.from(table).select(columns), conditions)
    if (order) query = query.order(order, { ascending: !descending })
    if (limit) query = query.limit(limit)
    return ok(await (one ? query.single() : query))
  },
  count: async ({ client }, { table, where: conditions }) => {
    const { count, error } = await where(client.from(table).select('*', { count: 'exact', head: true }), conditions)
    if (error) throw new Refused(error)
    return count
  },
  rpc: async ({ client }, { function: name, arguments: given = {} }) => ok(await client.rpc(name, given)),

  listen: async ({ client, channels }, { channel, table, event = '*', filter }) => {
    const heard = new Heard(client.channel(`rows-${channel}`))
    channels.set(channel, heard)
    await new Promise((live) =>
      heard.channel
        .on('postgres_changes', { event, schema: 'public', table, filter }, (change) => heard.add({ event: change.eventType, record: change.new }))
        .on('system', {}, ({ extension, status }) => extension === 'postgres_changes' && status === 'ok' && live())
        .subscribe(),
    )
  },
  join: async ({ client, channels }, { channel, topic, private: isPrivate = false, known_as: key = '' }) => {
    const heard = new Heard(client.channel(topic, { config: { broadcast: { ack: true, self: false }, presence: { key }, private: isPrivate } }))
    channels.set(channel, heard)
    for (const event of ['said', 'also']) heard.channel.on('broadcast', { event }, ({ payload }) => heard.add({ event, payload }))
    if (key) {
      heard.channel.on('presence', { event: 'join' }, (came) => heard.add({ event: 'came', key: came.key }))
      heard.channel.on('presence', { event: 'leave' }, (went) => heard.add({ event: 'went', key: went.key }))
    }
    return new Promise((joined) => heard.channel.subscribe((state) => joined(state)))
  },
  appear: async ({ channels }, { channel }) => {
    const told = await channels.get(channel).channel.track({})
    if (told !== 'ok') throw new Error(`the track ended with ${told}`)
  },
  leave: async ({ client, channels }, { channel }) => {
    await client.removeChannel(channels.get(channel).channel)
  },
  broadcast: async ({ channels }, { channel, event, payload }) => {
    const sent = await channels.get(channel).channel.send({ type: 'broadcast', event, payload })
    if (sent !== 'ok') throw new Error(`the broadcast ended with ${sent}`)
  },
  broadcast_over_http: async ({ channels }, { channel, event, payload }) => {
    const sent = await channels.get(channel).channel.httpSend(event, payload)
    if (!sent.success) throw new Error(`the broadcast ended with ${JSON.stringify(sent)}`)
  },
  heard: ({ channels }, { channel, until }) => channels.get(channel).until(until),

  upload: async ({ client }, { bucket, path, png = 0, text = '', content_type = 'image/png' }) => {
    const bytes = new Uint8Array(png)
    bytes.set(png ? PNG : [])
    const body = new Blob([png ? bytes : text], { type: content_type })
    return { path: ok(await client.storage.from(bucket).upload(path, body, { contentType: content_type })).path }
  },
  download: async ({ client }, { bucket, path }) => facts(ok(await client.storage.from(bucket).download(path))),
  list: async ({ client }, { bucket, folder }) => ok(await client.storage.from(bucket).list(folder)),
  remove: async ({ client }, { bucket, paths }) => ok(await client.storage.from(bucket).remove(paths)),
  sign_url: async ({ client }, { bucket, path, valid_s: seconds }) => {
    const { signedUrl } = ok(await client.storage.from(bucket).createSignedUrl(path, seconds))
    return { url: signedUrl }
  },
  fetch: async (_, { url }) => {
    const answer = await fetch(url)
    const [content_type] = (answer.headers.get('content-type') ?? '').split(';')
    return { status: answer.status, content_type, ...(await facts(await answer.blob())) }
  },
}
