// The whole path with the official JavaScript client: sign in, insert, hear of it, read the picture, cancel another one.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

import { artifactUrl, watchSession } from '../../devstack/page/watch.js'

const require = createRequire(new URL('../../devstack/page/package.json', import.meta.url))
const { createClient } = require('@supabase/supabase-js')
const { SUPABASE_URL, SUPABASE_ANON_KEY } = process.env
const TABLE = 'headshot_sessions'
const PNG = '89504e470d0a1a0a'
const TERMINAL = ['completed', 'failed', 'cancelled']

const supabase = createClient(SUPABASE_URL, SUPABASE_ANON_KEY, { auth: { persistSession: false, autoRefreshToken: false } })
const ok = ({ data, error }) => {
  if (error) throw error
  return data
}

const { user } = ok(await supabase.auth.signInAnonymously())
await supabase.realtime.setAuth()

// 1. Realtime alone tells the end: no read after the insert.
const id = crypto.randomUUID()
const heard = []
const { promise: ended, resolve: end } = Promise.withResolvers()
const { promise: live, resolve: alive } = Promise.withResolvers()
const channel = supabase
  .channel(`owner-${user.id}`)
  .on('postgres_changes', { event: '*', schema: 'public', table: TABLE, filter: `user_id=eq.${user.id}` }, ({ eventType, new: row }) => {
    heard.push({ eventType, status: row.status, progress: row.progress, version: row.version })
    if (row.id === id && TERMINAL.includes(row.status)) end(row)
  })
  .on('system', {}, ({ extension, status }) => extension === 'postgres_changes' && status === 'ok' && alive())
  .subscribe()
await live

const inserted = ok(await supabase.from(TABLE).insert({ id, prompt: 'a portrait by supabase-js', seed: 7 }).select().single())
assert.equal(inserted.user_id, user.id)
assert.equal(inserted.status, 'queued')
const row = await ended
assert.equal(row.status, 'completed', JSON.stringify(row))
const statuses = heard.map((change) => change.status)
assert.equal(heard[0].eventType, 'INSERT')
assert.ok(statuses.includes('processing'), statuses.join())
const versions = heard.map((change) => change.version)
assert.deepEqual(versions, [...versions].sort((a, b) => a - b))

// 2. The picture: by the row's own URL, by a fresh one, and by the client's download under row level security.
const [artifact] = row.result.artifacts
const bytesOf = async (url) => Buffer.from(await (await fetch(url)).arrayBuffer())
const picture = await bytesOf(await artifactUrl(supabase, artifact))
assert.equal(picture.subarray(0, 8).toString('hex'), PNG)
const fresh = await artifactUrl(supabase, { ...artifact, expires_at: '2000-01-01T00:00:00Z' })
assert.notEqual(fresh, artifact.url)
assert.deepEqual(await bytesOf(fresh), picture)
const downloaded = ok(await supabase.storage.from(artifact.bucket).download(artifact.path))
assert.deepEqual(Buffer.from(await downloaded.arrayBuffer()), picture)

// 3. Another one is cancelled: it costs nothing.
const balance = ok(await supabase.rpc('credit_balance'))
const { id: other } = ok(await supabase.from(TABLE).insert({ prompt: 'not wanted', num_inference_steps: 100 }).select('id').single())
ok(await supabase.rpc('cancel_session', { p_row_id: other }))
const watch = watchSession(supabase, { table: TABLE, id: other })
const timer = setTimeout(() => watch.stop(), 30_000)
assert.equal((await watch.finished)?.status, 'cancelled')
clearTimeout(timer)
assert.equal(ok(await supabase.rpc('credit_balance')), balance)

// 4. A stranger sees nothing of it.
const stranger = createClient(SUPABASE_URL, SUPABASE_ANON_KEY, { auth: { persistSession: false, autoRefreshToken: false } })
ok(await stranger.auth.signInAnonymously())
assert.deepEqual(ok(await stranger.from(TABLE).select('id').eq('id', id)), [])
assert.ok((await stranger.storage.from(artifact.bucket).download(artifact.path)).error)

await supabase.removeChannel(channel)
console.log(JSON.stringify({ id, statuses, balance, size_bytes: picture.length }))
process.exit() // the client keeps its socket until the server closes it for silence, a minute later
