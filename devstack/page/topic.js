/**
 * The private topic of one owner, a user or a store: what becomes of his rows, told by broadcast instead of postgres_changes.
 * For tables that an operator switched on: `select listener.set_broadcasts('public.headshot_sessions', true)`.
 *
 *   import { ownerTopic } from './topic.js'
 *   const watch = watchSession(supabase, { table: 'headshot_sessions', id, topic: ownerTopic(supabase, user.id) })
 *
 * All rows that are watched share one channel: a client has one for each name. It is opened for the first row and removed
 * after the last; when it fails, every watch is told and asks for a new one in its own time.
 *
 * To watch.js one row of it looks like a channel of postgres_changes. It does not merge, read or poll.
 * Nothing is sent when a row is deleted: that is seen when watch.js reads it next.
 */

const topics = new WeakMap() // client -> owner -> topic

export function ownerTopic(supabase, owner) {
  if (!topics.has(supabase)) topics.set(supabase, new Map())
  const known = topics.get(supabase)
  if (!known.has(owner)) known.set(owner, new OwnerTopic(supabase, `owner:${owner}`))
  return known.get(owner)
}

class OwnerTopic {
  #supabase
  #name
  #channel = null
  #isLive = false
  #rows = new Set()
  #leaving = Promise.resolve()

  constructor(supabase, name) {
    this.#supabase = supabase
    this.#name = name
  }

  channel(schema, table, id) {
    return new TopicRow(this, { schema, table, id })
  }

  async add(row) {
    this.#rows.add(row)
    await this.#leaving // some clients return the channel that is being left when its name comes again
    if (!this.#rows.has(row)) return
    if (!this.#channel) this.#open()
    else if (this.#isLive) row.toldStatus('SUBSCRIBED')
  }

  remove(row) {
    if (this.#rows.delete(row) && this.#rows.size === 0) this.#close()
    return this.#leaving
  }

  #open() {
    const config = { private: true, broadcast: { replication_ready: true } }
    const channel = this.#supabase.channel(this.#name, { config })
    this.#channel = channel
    const ifCurrent = (act) => (this.#channel === channel ? act() : undefined)
    channel
      .on('broadcast', { event: 'session' }, ({ payload }) => ifCurrent(() => this.#each((row) => row.toldState(payload))))
      .on('system', {}, ({ status, message }) => ifCurrent(() => this.#onSystem(status, message)))
      .subscribe((status, error) => ifCurrent(() => this.#onStatus(status, error)))
  }

  #onStatus(status, error) {
    const rows = [...this.#rows]
    this.#isLive = status === 'SUBSCRIBED'
    if (!this.#isLive) {
      this.#rows.clear()
      this.#close()
    }
    for (const row of rows) row.toldStatus(status, error)
  }

  #onSystem(status, message) {
    if (status !== 'ok') this.#onStatus('CHANNEL_ERROR', new Error(`Realtime: ${message}`))
    else if (this.#isLive) this.#each((row) => row.toldStatus('SUBSCRIBED')) // what was sent before the stream stood was lost
  }

  #each(act) {
    for (const row of [...this.#rows]) act(row)
  }

  #close() {
    const channel = this.#channel
    this.#channel = null
    this.#isLive = false
    if (channel) this.#leaving = this.#supabase.removeChannel(channel).catch(() => {})
  }
}

/** One row of a topic, with as much of a channel's interface as watch.js uses. */
class TopicRow {
  #topic
  #wanted
  #heard = {}
  #onStatus = () => {}

  constructor(topic, wanted) {
    this.#topic = topic
    this.#wanted = wanted
  }

  on(type, _filter, callback) {
    this.#heard[type] = callback
    return this
  }

  subscribe(onStatus) {
    this.#onStatus = onStatus
    void this.#topic.add(this)
    return this
  }

  leave() {
    return this.#topic.remove(this)
  }

  toldStatus(status, error) {
    if (status === 'SUBSCRIBED') this.#heard.system({ extension: 'postgres_changes', status: 'ok' })
    else this.#onStatus(status, error)
  }

  toldState({ schema, table, row, is_partial: isPartial }) {
    const wanted = this.#wanted
    if (schema !== wanted.schema || table !== wanted.table || row.id !== wanted.id) return
    this.#heard.postgres_changes({ eventType: 'UPDATE', new: row, errors: isPartial ? ['the state was too large to send'] : null })
  }
}
