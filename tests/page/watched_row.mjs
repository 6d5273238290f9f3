// Watches one row, or two by their owner's topic, with the page's module and the official client, and tells each thing it sees
// as a JSON line.

import { writeSync } from 'node:fs'
import { createRequire } from 'node:module'

import { ownerTopic } from '../../devstack/page/topic.js'
import { watchSession } from '../../devstack/page/watch.js'

const require = createRequire(new URL('../../devstack/page/package.json', import.meta.url))
const { createClient } = require('@supabase/supabase-js')
const { SUPABASE_URL, SUPABASE_ANON_KEY, ROW_ID, OPTIONS = '{}' } = process.env
const { byTopic, also, next, ...options } = { table: 'watched', ...JSON.parse(OPTIONS) }

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
// The texts themselves are tens of kilobytes.
const short = (row) => row && { ...row, prompt: row.prompt.length, result: row.result?.text ? row.result.text.length : row.result }
let reads = 0
const countReads = async (url, request) => {
  const answer = await fetch(url, request)
  if (String(url).includes(`/rest/v1/${options.table}`)) tell({ reads: ++reads })
  return answer
}
const supabase = createClient(SUPABASE_URL, SUPABASE_ANON_KEY, {
  auth: { persistSession: false, autoRefreshToken: false },
  global: { fetch: countReads },
})
const { data, error } = await supabase.auth.signInAnonymously()
if (error) throw error
tell({ user: data.user.id })

const wanted = { ...options, id: ROW_ID, topic: byTopic ? ownerTopic(supabase, data.user.id) : null }
const watch = watchSession(supabase, {
  ...wanted,
  onChange: (row) => tell({ row: short(row) }),
  onConnection: (connection) => tell({ connection }),
  onError: (problem) => tell({ problem: String(problem.message) }),
})
if (also) await watchSession(supabase, { ...wanted, id: also, onChange: ({ status }) => tell({ also: status }) }).finished
const finished = await watch.finished
if (next) await watchSession(supabase, { ...wanted, id: next, onConnection: (connection) => tell({ next: connection }) }).finished
await watch.stop()
tell({ finished: short(finished), channels: supabase.getChannels().length, timers: running(), timersEver: started.size })
process.exit(0)
