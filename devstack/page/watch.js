/**
 * Follows one session row until it is finished. Reusable: needs nothing but a supabase-js client (2.x).
 *
 *   import { watchSession } from './watch.js'
 *   const watch = watchSession(supabase, { table: 'headshot_sessions', id, onChange: (row) => draw(row) })
 *   const row = await watch.finished      // the terminal row; null when stopped early or the row was deleted
 *   await watch.stop()                    // any time, any number of times (React: the effect's cleanup)
 *
 * What it takes care of:
 * - Realtime says SUBSCRIBED before the database subscription lives: the row is read again on SUBSCRIBED and on `system` ok.
 * - Changes are merged key by key and ordered by `version`: clocks are not trusted, late and repeated changes do nothing,
 *   and a change without the unchanged large columns (Realtime leaves them out) does not erase them.
 * - While the channel is not live the row is polled; while it is live it is read now and then, because a Realtime
 *   server that lost its place says nothing.
 * - A channel that failed is removed and a new one is opened, with backoff. Nothing is left behind after the end.
 *
 * It does not know what a session makes, and it never writes. It needs a uuid column `id` and the columns `status` and `version`.
 */

const TERMINAL = new Set(['completed', 'failed', 'cancelled'])

const DEFAULTS = {
  schema: 'public',
  columns: '*', // name them where column grants hide some: `*` is refused then
  pollMs: 3_000,
  livePollMs: 15_000,
  fetchTimeoutMs: 10_000,
  joinTimeoutMs: 15_000, // a cold tenant was seen to need 2.9 s
  retryMs: 500,
  retryMaxMs: 30_000,
  topic: null, // ownerTopic() of topic.js: hear by its broadcasts instead of postgres_changes
  onChange: (_row) => {},
  onConnection: (_state) => {}, // 'live' | 'polling' | 'stopped'
  onError: (_error) => {}, // for a log; the watch goes on by itself
}

export function isTerminal(row) {
  return TERMINAL.has(row?.status)
}

/** The newer version wins key by key; keys that the newer one does not carry stay. An older one changes nothing. */
export function mergeRow(known, incoming) {
  if (!known) return incoming
  return (incoming.version ?? 0) >= (known.version ?? 0) ? { ...known, ...incoming } : known
}

/** Whether a change leaves out a column that a change we never saw may have written. */
export function leavesGap(known, incoming) {
  if ((incoming.version ?? 0) <= (known.version ?? 0) + 1) return false
  return Object.keys(known).some((key) => !(key in incoming))
}

/**
 * A URL that can be read now: the artifact's own while it is valid, else a freshly signed one.
 * Units: minValidS and expiresInS are seconds, nowMs is milliseconds since 1970.
 */
export async function artifactUrl(supabase, artifact, { minValidS = 30, expiresInS = 3600, nowMs = Date.now() } = {}) {
  const validUntil = Date.parse(artifact.expires_at ?? '')
  if (artifact.url && validUntil - nowMs > minValidS * 1000) return artifact.url
  const { data, error } = await supabase.storage.from(artifact.bucket).createSignedUrl(artifact.path, expiresInS)
  if (error) throw error
  return data.signedUrl
}

/** Starts at once; see the top of this file. */
export function watchSession(supabase, options) {
  const watch = new SessionWatch(supabase, { ...DEFAULTS, ...options })
  watch.start()
  return watch
}

class SessionWatch {
  row = null
  connection = 'polling'
  finished
  #supabase
  #options
  #resolve
  #channel = null
  #failures = 0
  #pollTimer
  #joinTimer
  #fetching = false
  #fetchAgain = false
  #stopped = false
  #ending
  #abort = new AbortController()
  #wake = () => void this.refresh()
  #shown = () => void (globalThis.document.hidden || this.refresh())

  constructor(supabase, options) {
    this.#supabase = supabase
    this.#options = options
    this.finished = new Promise((resolve) => (this.#resolve = resolve))
  }

  start() {
    globalThis.addEventListener?.('online', this.#wake)
    globalThis.document?.addEventListener('visibilitychange', this.#shown)
    void this.refresh()
    void this.#join()
  }

  /** Ends the watch and removes its channel. */
  stop() {
    this.#finish(null)
    return this.#ending
  }

  /** Reads the row now; asked during a read, it reads once more after it. */
  async refresh() {
    if (this.#stopped) return
    if (this.#fetching) {
      this.#fetchAgain = true
      return
    }
    this.#fetching = true
    clearTimeout(this.#pollTimer)
    do {
      this.#fetchAgain = false
      await this.#fetch()
    } while (this.#fetchAgain && !this.#stopped)
    this.#fetching = false
    if (this.#stopped) return
    const { pollMs, livePollMs } = this.#options
    this.#pollTimer = setTimeout(this.#wake, this.connection === 'live' ? livePollMs : pollMs)
  }

  async #fetch() {
    const { schema, table, columns, id, fetchTimeoutMs } = this.#options
    try {
      const { data, error } = await this.#supabase
        .schema(schema)
        .from(table)
        .select(columns)
        .eq('id', id)
        .abortSignal(AbortSignal.any([this.#abort.signal, AbortSignal.timeout(fetchTimeoutMs)]))
        .maybeSingle()
      if (this.#stopped) return
      if (error) this.#report(error)
      else if (data) this.#take(mergeRow(this.row, data))
      else if (this.row) this.#finish(null)
    } catch (error) {
      if (!this.#stopped) this.#report(error)
    }
  }

  #onChange({ eventType, new: row, errors }) {
    if (eventType === 'DELETE') return this.#finish(null)
    if (!this.row || errors?.length > 0 || leavesGap(this.row, row)) return void this.refresh()
    this.#take(mergeRow(this.row, row))
  }

  #take(merged) {
    if (this.#stopped || JSON.stringify(merged) === JSON.stringify(this.row)) return
    this.row = merged
    this.#call(this.#options.onChange, merged)
    if (isTerminal(merged)) this.#finish(merged)
  }

  async #join() {
    const { schema, table, id, joinTimeoutMs, topic } = this.#options
    try {
      await this.#supabase.realtime.setAuth() // else the first join goes out as anon and sees nothing under RLS
    } catch (error) {
      this.#report(error)
    }
    if (this.#stopped) return
    const tag = Math.random().toString(36).slice(2) // the same topic again would return the old channel
    const channel = topic?.channel(schema, table, id) ?? this.#supabase.channel(`session-${id}-${tag}`)
    this.#channel = channel
    const ifCurrent = (act) => (this.#channel === channel && !this.#stopped ? act() : undefined)
    this.#joinTimer = setTimeout(() => ifCurrent(() => this.#rejoin(new Error('Realtime did not confirm in time'))), joinTimeoutMs)
    channel
      .on('postgres_changes', { event: '*', schema, table, filter: `id=eq.${id}` }, (change) => ifCurrent(() => this.#onChange(change)))
      .on('system', {}, (message) => ifCurrent(() => this.#onSystem(message)))
      .subscribe((status, error) => ifCurrent(() => this.#onStatus(status, error)))
  }

  #onStatus(status, error) {
    if (status === 'SUBSCRIBED') void this.refresh()
    else this.#rejoin(error ?? new Error(`Realtime: ${status}`))
  }

  #onSystem({ extension, status, message }) {
    if (status !== 'ok') return this.#rejoin(new Error(`Realtime: ${message}`))
    if (extension !== 'postgres_changes') return
    clearTimeout(this.#joinTimer)
    this.#failures = 0
    this.#setConnection('live')
    void this.refresh()
  }

  #rejoin(error) {
    this.#report(error)
    void this.#leave()
    this.#setConnection('polling')
    void this.refresh()
    const { retryMs, retryMaxMs } = this.#options
    const delayMs = Math.min(retryMaxMs, retryMs * 2 ** this.#failures++) * (0.5 + Math.random() / 2)
    this.#joinTimer = setTimeout(() => void this.#join(), delayMs)
  }

  async #leave() {
    clearTimeout(this.#joinTimer)
    const channel = this.#channel
    this.#channel = null
    if (!channel) return
    try {
      await (this.#options.topic ? channel.leave() : this.#supabase.removeChannel(channel))
    } catch (error) {
      this.#report(error)
    }
  }

  #finish(row) {
    if (this.#stopped) return
    this.#stopped = true
    this.#ending = this.#end(row)
  }

  async #end(row) {
    this.#abort.abort()
    clearTimeout(this.#pollTimer)
    globalThis.removeEventListener?.('online', this.#wake)
    globalThis.document?.removeEventListener('visibilitychange', this.#shown)
    this.#resolve(row)
    this.#setConnection('stopped')
    await this.#leave()
  }

  #setConnection(state) {
    if (this.connection === state) return
    this.connection = state
    this.#call(this.#options.onConnection, state)
  }

  #report(error) {
    this.#call(this.#options.onError, error)
  }

  #call(listener, value) {
    try {
      listener(value)
    } catch (error) {
      ;(globalThis.reportError ?? console.error)(error) // the caller's mistake must not end the watch
    }
  }
}
