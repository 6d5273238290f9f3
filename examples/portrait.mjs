// Insert one row, wait for the picture, save it. Needs @supabase/supabase-js and the two variables of README.md.

import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'

import { artifactUrl, watchSession } from '../devstack/page/watch.js'

// In a project of your own: import { createClient } from '@supabase/supabase-js'
const { createClient } = createRequire(new URL('../devstack/page/package.json', import.meta.url))('@supabase/supabase-js')

const { SUPABASE_URL, SUPABASE_ANON_KEY } = process.env
const supabase = createClient(SUPABASE_URL, SUPABASE_ANON_KEY, { auth: { persistSession: false, autoRefreshToken: false } })

const { error: refused } = await supabase.auth.signInAnonymously()
if (refused) throw refused

const { data: inserted, error } = await supabase.from('headshot_sessions').insert({ prompt: process.argv[2] }).select().single()
if (error) throw error

const watch = watchSession(supabase, {
  table: 'headshot_sessions',
  id: inserted.id,
  onChange: ({ status, progress, message }) => console.log(status, `${progress} %`, message ?? ''),
})
const row = await watch.finished
await watch.stop()

if (row.status !== 'completed') throw new Error(`${row.status}: ${row.error_message}`)
const picture = await fetch(await artifactUrl(supabase, row.result.artifacts[0]))
await writeFile(`${row.id}.png`, Buffer.from(await picture.arrayBuffer()))
console.log(`image: ${row.id}.png`)
process.exit() // the client would keep its socket open for another minute
