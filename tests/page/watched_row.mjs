// Watches one row with the page's module and the official client, and tells each thing it sees as a JSON line.

import { createRequire } from 'node:module'

import { watchSession } from '../../devstack/page/watch.js'

const require = createRequire(new URL('../../devstack/page/package.json', import.meta.url))
const { createClient } = require('@supabase/supabase-js')
const { SUPABASE_URL, SUPABASE_ANON_KEY, ROW_ID, OPTIONS = '{}' } = process.env

const tell = (fact) => console.log(JSON.stringify(fact))
const supabase = createClient(SUPABASE_URL, SUPABASE_ANON_KEY, { auth: { persistSession: false, autoRefreshToken: false } })
const { data, error } = await supabase.auth.signInAnonymously()
if (error) throw error
tell({ user: data.user.id })

const watch = watchSession(supabase, {
  table: 'watched',
  id: ROW_ID,
  ...JSON.parse(OPTIONS),
  onChange: (row) => tell({ row }),
  onConnection: (connection) => tell({ connection }),
  onError: (problem) => tell({ problem: String(problem.message) }),
})
const finished = await watch.finished
await watch.stop()
tell({ finished, channels: supabase.getChannels().length })
// No process.exit: the script ends by itself only if the watch left no timer and no socket behind.
