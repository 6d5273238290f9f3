/**
 * Who is looking: the page's configuration, the client, and an anonymous account kept in this browser.
 * Knows nothing of sessions.
 */

const STORAGE_PREFIX = 'listener-page-'

/** Gives { config, supabase, user }. Throws an Error in plain words. */
export async function connect() {
  if (!globalThis.supabase?.createClient) {
    throw new Error('supabase-js is not installed beside this page.\nRun `make setup` (it runs `npm ci` with the node of the virtual environment).')
  }
  const answer = await fetch('config.json', { cache: 'no-store' })
  if (!answer.ok) throw new Error(`The stack did not give its configuration (HTTP ${answer.status}).`)
  const config = await answer.json()
  const supabase = globalThis.supabase.createClient(config.url, config.anon_key, {
    auth: { storageKey: keyOf(config), persistSession: true, autoRefreshToken: true, detectSessionInUrl: false },
  })
  return { config, supabase, user: await signIn(supabase) }
}

// A stack that was started anew has new keys: its accounts are not those of the stack before it at the same address.
function keyOf({ anon_key: key }) {
  const current = STORAGE_PREFIX + key.slice(-20)
  for (const name of Object.keys(localStorage)) {
    if (name.startsWith(STORAGE_PREFIX) && !name.startsWith(current)) localStorage.removeItem(name)
  }
  return current
}

async function signIn(supabase) {
  const { data: kept } = await supabase.auth.getSession()
  if (kept.session) {
    const { data, error } = await supabase.auth.getUser()
    if (!error) return data.user
    if (![401, 403, 404].includes(error.status)) throw error
    await supabase.auth.signOut({ scope: 'local' })
  }
  const { data, error } = await supabase.auth.signInAnonymously()
  if (error) throw error
  return data.user
}
