// Upload a picture and a recording, insert one row that names them, wait for the clip, save it.
// node examples/avatar.mjs me.jpg hello.wav; needs @supabase/supabase-js and the two variables of README.md.

import { readFile, writeFile } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { extname } from 'node:path'

import { artifactUrl, watchSession } from '../devstack/page/watch.js'

// In a project of your own: import { createClient } from '@supabase/supabase-js'
const { createClient } = createRequire(new URL('../devstack/page/package.json', import.meta.url))('@supabase/supabase-js')

const TYPES = { '.jpg': 'image/jpeg', '.jpeg': 'image/jpeg', '.png': 'image/png', '.wav': 'audio/wav', '.mp3': 'audio/mpeg' }
const { SUPABASE_URL, SUPABASE_ANON_KEY } = process.env
const supabase = createClient(SUPABASE_URL, SUPABASE_ANON_KEY, { auth: { persistSession: false, autoRefreshToken: false } })

const { data: visit, error: refused } = await supabase.auth.signInAnonymously()
if (refused) throw refused

async function upload(file) {
  const ending = extname(file).toLowerCase()
  const path = `${visit.user.id}/${randomUUID()}${ending}`
  const { error } = await supabase.storage.from('uploads').upload(path, await readFile(file), { contentType: TYPES[ending] })
  if (error) throw error
  return path
}

const [image_url, audio_url] = await Promise.all(process.argv.slice(2, 4).map(upload))
const { data: inserted, error } = await supabase.from('avatar_sessions').insert({ image_url, audio_url }).select().single()
if (error) throw error

const watch = watchSession(supabase, {
  table: 'avatar_sessions',
  id: inserted.id,
  onChange: ({ status, progress, message }) => console.log(status, `${progress} %`, message ?? ''),
})
const row = await watch.finished
await watch.stop()

if (row.status !== 'completed') throw new Error(`${row.status}: ${row.error_message} ${JSON.stringify(row.error_details)}`)
for (const warning of row.result.warnings) console.log(`warning: ${warning}`)
const clip = await fetch(await artifactUrl(supabase, row.result.artifacts[0]))
await writeFile(`${row.id}.mp4`, Buffer.from(await clip.arrayBuffer()))
console.log(`clip: ${row.id}.mp4`)
process.exit() // the client would keep its socket open for another minute
