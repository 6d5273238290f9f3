/**
 * The page: inserts a row, follows the visitor's rows, shows the balance.
 * Knows the tables and two functions; how a row is followed is in watch.js, what a try-on uploads in tryon.js,
 * what a clip needs and how it plays in avatar.js, what a pack shows in pack.js.
 */

import { AVATAR_TABLE, AvatarForm, ClipCard } from './avatar.js'
import { Card } from './card.js'
import { PACK_TABLE, PackCard, PackForm, watchImages } from './pack.js'
import { TRYON_TABLE, TryonForm } from './tryon.js'
import { connect } from './visitor.js'
import { artifactUrl, isTerminal, watchSession } from './watch.js'

const HEADSHOT_TABLE = 'headshot_sessions'
const TABLES = [HEADSHOT_TABLE, TRYON_TABLE, AVATAR_TABLE, PACK_TABLE]
const SHOWN_AT_MOST = 24

const $ = (id) => document.getElementById(id)
const cards = new Map() // id -> Card
const watches = new Map() // id -> watch, while the session is open
let supabase
let tryonForm
let avatarForm
let packForm

function show(element, text) {
  element.textContent = text
  element.hidden = !text
}

function inWords(error, cost = 1) {
  if (error.code === 'PT402') return `This costs ${cost === 1 ? '1 credit' : `${cost} credits`}, and you have ${$('credits').textContent}.`
  if (error.code === 'PGRST303' || error.status === 401) return 'Your visit has expired. Reload the page.'
  const isCode = /^[a-z_]+$/.test(error.message) // what the database refuses has its sentence in the details
  return (isCode && error.details) || error.message || 'The stack did not answer.'
}

function drawConnection() {
  const states = [...watches.values()].map((watch) => watch.connection)
  const state = !navigator.onLine ? 'offline' : states.length === 0 ? 'idle' : states.every((one) => one === 'live') ? 'live' : 'polling'
  $('connection').dataset.state = state
  $('connection').textContent = state
}

async function drawCredits() {
  const { data, error } = await supabase.rpc('credit_balance')
  $('credits').textContent = error || data === null ? '–' : String(data)
}

async function cancel(id) {
  const { error } = await supabase.rpc('cancel_session', { p_row_id: id })
  if (error) throw error
}

function newCard(table, options) {
  if (table === PACK_TABLE) return new PackCard($('pack-card'), supabase, cancel)
  return table === AVATAR_TABLE ? new ClipCard($('clip-card'), supabase, options) : new Card($('card'), options)
}

function cardOf(table, row) {
  const known = cards.get(row.id)
  if (known) return known
  const urlOf = (artifact, { fresh }) => artifactUrl(supabase, artifact, fresh ? { minValidS: Infinity } : {})
  const card = newCard(table, { urlOf, onCancel: cancel })
  cards.set(row.id, card)
  $('empty').hidden = true
  return card
}

function draw(table, row) {
  const card = cardOf(table, row)
  const before = card.row.status
  card.update(row)
  if (before && before !== row.status) $('spoken').textContent = `${row.status}: ${card.title}`
  return card
}

function follow(table, row) {
  const watch = watchSession(supabase, {
    table,
    id: row.id,
    onChange: (changed) => draw(table, changed),
    onConnection: drawConnection,
    onError: (error) => console.info('watch:', error.message), // the watch goes on by itself
  })
  const images = table === PACK_TABLE ? watchImages(supabase, row.id, () => void cards.get(row.id).refresh()) : null
  watches.set(row.id, watch)
  drawConnection()
  void watch.finished.then(() => {
    watches.delete(row.id)
    void images?.stop()
    drawConnection()
    return drawCredits()
  })
}

async function rowsOf(table) {
  const { data, error } = await supabase.from(table).select('*').order('created_at', { ascending: false }).limit(SHOWN_AT_MOST)
  if (error) throw error
  return data.map((row) => ({ table, row }))
}

async function listSessions() {
  const found = (await Promise.all(TABLES.map(rowsOf))).flat()
  found.sort((one, other) => Date.parse(other.row.created_at) - Date.parse(one.row.created_at))
  $('empty').hidden = found.length > 0
  for (const { table, row } of found.slice(0, SHOWN_AT_MOST)) {
    $('sessions').append(draw(table, row).element)
    if (!isTerminal(row)) follow(table, row)
  }
}

/** Inserts what `fieldsOf` gives and follows it; a problem is said beside the form. `cost` is in credits. */
async function insert(table, fieldsOf, button, problem, cost = 1) {
  show(problem, '')
  button.disabled = true
  try {
    const { data: row, error } = await supabase.from(table).insert(await fieldsOf()).select().single()
    if (error) throw error
    const card = draw(table, row)
    $('sessions').prepend(card.element)
    card.element.scrollIntoView({ block: 'nearest' }) // the forms fill a small screen
    $('spoken').textContent = `queued: ${card.title}`
    follow(table, row)
    await drawCredits()
    return true
  } catch (error) {
    await drawCredits()
    show(problem, inWords(error, cost))
    return false
  } finally {
    button.disabled = false
  }
}

async function submitPrompt(event) {
  event.preventDefault()
  const prompt = $('prompt').value.trim()
  show($('form-error'), prompt ? '' : 'Say what the picture should show.')
  if (!prompt) return $('prompt').focus()
  if (await insert(HEADSHOT_TABLE, () => ({ prompt }), $('generate'), $('form-error'))) $('prompt').value = ''
  $('prompt').focus({ preventScroll: true })
}

async function submitTryon(event) {
  event.preventDefault()
  await insert(TRYON_TABLE, () => tryonForm.row(), $('dress'), $('tryon-error'))
}

async function submitAvatar(event) {
  event.preventDefault()
  await insert(AVATAR_TABLE, () => avatarForm.row(), $('speak'), $('avatar-error'))
}

async function submitPack(event) {
  event.preventDefault()
  await insert(PACK_TABLE, () => packForm.row(), $('make'), $('pack-error'), packForm.cost)
}

function tick() {
  for (const id of watches.keys()) cards.get(id)?.tick()
}

async function start() {
  try {
    const connected = await connect()
    supabase = connected.supabase
    tryonForm = new TryonForm($('tryon'), supabase, connected.user)
    avatarForm = new AvatarForm($('avatar'), supabase, connected.user)
    packForm = new PackForm($('pack'), supabase, connected.user)
    $('embedded').hidden = connected.config.embedded !== true
    await Promise.all([drawCredits(), listSessions()])
  } catch (error) {
    $('connection').dataset.state = 'offline'
    $('connection').textContent = 'offline'
    show($('fatal'), inWords(error))
    return
  }
  drawConnection()
  $('form').addEventListener('submit', submitPrompt)
  $('tryon').addEventListener('submit', submitTryon)
  $('avatar').addEventListener('submit', submitAvatar)
  $('pack').addEventListener('submit', submitPack)
  $('prompt').addEventListener('keydown', (key) => {
    if (key.key !== 'Enter' || key.shiftKey || key.isComposing) return
    key.preventDefault()
    $('form').requestSubmit()
  })
  for (const id of ['generate', 'dress', 'speak', 'make']) $(id).disabled = false
  setInterval(tick, 500)
  addEventListener('online', drawConnection)
  addEventListener('offline', drawConnection)
  addEventListener('pagehide', () => watches.forEach((watch) => void watch.stop()))
  addEventListener('pageshow', (shown) => shown.persisted && location.reload()) // back from the browser's cache
}

void start()
