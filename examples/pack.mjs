// Save a character, ask for a pack of it, save each image as soon as it is there.
// node examples/pack.mjs "auburn" "a linen suit"; needs @supabase/supabase-js and the two variables of README.md.

import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'

import { watchSession } from '../devstack/page/watch.js'

// In a project of your own: import { createClient } from '@supabase/supabase-js'
const { createClient } = createRequire(new URL('../devstack/page/package.json', import.meta.url))('@supabase/supabase-js')

const { SUPABASE_URL, SUPABASE_ANON_KEY } = process.env
const supabase = createClient(SUPABASE_URL, SUPABASE_ANON_KEY, { auth: { persistSession: false, autoRefreshToken: false } })

function given({ data, error }) {
  if (error) throw error
  return data
}

given(await supabase.auth.signInAnonymously())

const [hair_color, outfit_style] = process.argv.slice(2)
const config = { age_range: [25, 32], hair_color, outfit_style }
const character = given(await supabase.from('characters').insert({ config }).select('id').single())
const job = given(await supabase.from('generation_jobs').insert({ character_id: character.id, image_count: 5 }).select().single())

const saved = new Set()

async function saveNewImages() {
  for (const image of given(await supabase.from('character_images').select('*').eq('job_id', job.id).order('position'))) {
    if (saved.has(image.id)) continue
    saved.add(image.id)
    const file = given(await supabase.storage.from('characters').download(image.storage_path))
    const name = `${image.position}.${image.storage_path.split('.').at(-1)}`
    await writeFile(name, Buffer.from(await file.arrayBuffer()))
    console.log(`image: ${name}`)
  }
}

let saving = Promise.resolve()
const watch = watchSession(supabase, {
  table: 'generation_jobs',
  id: job.id,
  onChange: ({ status, completed_count: done, image_count: count }) => {
    console.log(status, `${done} of ${count}`)
    saving = saving.then(saveNewImages)
  },
})
const row = await watch.finished
await watch.stop()
await saving

if (row.status !== 'completed') throw new Error(`${row.status}: ${row.error_message}`)
process.exit() // the client would keep its socket open for another minute
