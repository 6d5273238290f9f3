// Watches one row with the page's module and the official client, and tells each thing it sees as a JSON line.

import { writeSync } from 'node:fs'
import { createRequire } from 'node:module'

import { watchSession } from '../../devstack/page/watch.js'

const require = createRequire(new URL('../../devstack/page/package.json', import.meta.url))
const { createClient } = require('@supabase/supabase-js')
const { SUPABASE_URL, SUPABASE_ANON_KEY, ROW_ID, OPTIONS = '{}' } = process.env

// The timers that the module itself started; the client has its own, and leaves one behind for 10 s.
const started = new Set()
const { setTimeout: original } = globalThis
globalThis.setTimeout = (...given) => {
  const timer = original(...given)
  if (new Error().stack.includes('/page/watch.js')) started.add(timer)
  return timer
}
const running = () => [...started].filter((timer) => !timer._destroyed).length

const tell = (fact) => writeSync(1, `${JSON.stringify(fact)}\n`)
const short = (row) => row && { ...row, prompt: row.prompt.length } // the text itself is tens of kilobytes
let reads = 0
const countReads = async (url, options) => {
  const answer = await fetch(url, options)
  if (String(url).includes('/rest/v1/watched')) tell({ reads: ++reads })
  return answer
}
const supabase = createClient(SUPABASE_URL, SUPABASE_ANON_KEY, {
  auth: { persistSession: false, autoRefreshToken: false },
  global: { fetch: countReads },
})
const { data, error } = await supabase.auth.signInAnonymously()
if (error) throw error
tell({ user: data.user.id })

const watch = watchSession(supabase, {
  table: 'watched',
  id: ROW_ID,
  ...JSON.parse(OPTIONS),
  onChange: (row) => tell({ row: short(row) }),
  onConnection: (connection) => tell({ connection }),
  onError: (problem) => tell({ problem: String(problem.message) }),
})
const finished = await watch.finished
await watch.stop()
tell({ finished: short(finished), channels: supabase.getChannels().length, timers: running(), timersEver: started.size })
process.exit(0)
