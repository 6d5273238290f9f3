// Upload a person and a garment, insert one try-on that names them, wait for the picture, save it.
// node examples/tryon.mjs person.jpg garment.jpg; needs @supabase/supabase-js and the two variables of README.md.

import { readFile, writeFile } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'

import { artifactUrl, watchSession } from '../devstack/page/watch.js'

// In a project of your own: import { createClient } from '@supabase/supabase-js'
const { createClient } = createRequire(new URL('../devstack/page/package.json', import.meta.url))('@supabase/supabase-js')

const { SUPABASE_URL, SUPABASE_ANON_KEY } = process.env
const supabase = createClient(SUPABASE_URL, SUPABASE_ANON_KEY, { auth: { persistSession: false, autoRefreshToken: false } })

const { data: visit, error: refused } = await supabase.auth.signInAnonymously()
if (refused) throw refused

async function upload(file) {
  const path = `${visit.user.id}/${randomUUID()}.jpg`
  const { error } = await supabase.storage.from('uploads').upload(path, await readFile(file), { contentType: 'image/jpeg' })
  if (error) throw error
  return path
}

const image_urls = await Promise.all(process.argv.slice(2).map(upload)) // the person first
const { data: inserted, error } = await supabase.from('generation_sessions').insert({ image_urls }).select().single()
if (error) throw error

const watch = watchSession(supabase, {
  table: 'generation_sessions',
  id: inserted.id,
  onChange: ({ status, progress, message }) => console.log(status, `${progress} %`, message ?? ''),
})
const row = await watch.finished
await watch.stop()

if (row.status !== 'completed') throw new Error(`${row.status}: ${row.error_message}`)
const picture = await fetch(await artifactUrl(supabase, row.result.artifacts[0]))
await writeFile(`${row.id}.jpg`, Buffer.from(await picture.arrayBuffer()))
console.log(`image: ${row.id}.jpg`)
process.exit() // the client would keep its socket open for another minute
