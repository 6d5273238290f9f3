/**
 * Draws one session row. Knows the columns of a session table; knows nothing of Realtime or of accounts.
 */

import { isTerminal } from './watch.js'

const STATUS = { queued: 'Queued', processing: 'Processing', completed: 'Completed', failed: 'Failed', cancelled: 'Cancelled' }
const SAID = {
  queued: 'Waiting for a free worker',
  processing: 'A worker has it',
  completed: '',
  failed: 'Your credit came back.',
  cancelled: 'Cancelled. Your credit came back.',
}

/** Why a row failed, in words. */
export function reasonOf({ error_message: message, error_code: code, error_details: details }) {
  const fields = (details?.fields ?? []).map(({ field, message: rule }) => `${field}: ${rule.replace('Value error, ', '')}`)
  const cause = details?.problem ? [`${details.field}: ${details.problem}; ${details.remedy}.`] : []
  return [message || code || 'It failed without a reason.', ...fields, ...cause].join(' ')
}

export class Card {
  row = {}
  #parts
  #shown = null
  #urlOf

  /** urlOf(artifact, {fresh}) gives a readable URL; onCancel(id) asks for the cancellation. */
  constructor(template, { urlOf, onCancel }) {
    this.element = template.content.firstElementChild.cloneNode(true)
    const part = (name) => this.element.querySelector(name)
    this.#parts = {
      picture: part('.picture'), placeholder: part('.placeholder'), status: part('.status'), elapsed: part('.elapsed'),
      prompt: part('.prompt'), progress: part('progress'), message: part('.message'), error: part('.error'),
      open: part('.open'), cancel: part('.cancel'),
    }
    this.#urlOf = urlOf
    this.#parts.cancel.addEventListener('click', () => this.#cancel(onCancel))
    this.#parts.open.addEventListener('click', (click) => this.#open(click))
    this.#parts.picture.addEventListener('error', () => this.#showPicture({ fresh: true }))
  }

  /** What the session is about, in words. */
  get title() {
    return this.row.prompt ?? 'Try-on'
  }

  update(row) {
    this.row = row
    const { status, progress, message } = row
    const { element, ...parts } = { element: this.element, ...this.#parts }
    const finished = isTerminal(row)
    element.dataset.status = status
    element.dataset.id = row.id
    parts.status.textContent = STATUS[status] ?? status
    parts.prompt.textContent = parts.prompt.title = this.title
    this.#drawProgress(status, progress ?? 0)
    parts.message.textContent = (finished ? '' : message) || SAID[status] || ''
    parts.message.hidden = parts.message.textContent === ''
    parts.error.hidden = status !== 'failed'
    parts.error.textContent = reasonOf(row)
    parts.cancel.hidden = finished
    this.tick()
    void this.#showPicture({ fresh: false })
  }

  /** Draws the time that passed; called once a second while the session is open. */
  tick(nowMs = Date.now()) {
    const { created_at: from, finished_at: to } = this.row
    const seconds = Math.max(0, (to ? Date.parse(to) : nowMs) - Date.parse(from)) / 1000
    this.#parts.elapsed.textContent = to || seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds)} s`
  }

  /** Says a problem of this page (not of the session) on the card. */
  complain(text) {
    this.#parts.error.hidden = false
    this.#parts.error.textContent = text
  }

  /** Says something about what was made. */
  remark(text) {
    this.#parts.message.textContent = text
    this.#parts.message.hidden = text === ''
  }

  /** Puts what was made into its place. */
  async present(picture, url) {
    picture.alt = `Generated from: ${this.#parts.prompt.textContent}`
    picture.src = url
  }

  #drawProgress(status, percent) {
    const { progress, placeholder } = this.#parts
    progress.hidden = isTerminal(this.row)
    progress.setAttribute('aria-label', `Progress of: ${this.title}`)
    if (status === 'processing') progress.value = percent
    else progress.removeAttribute('value')
    placeholder.textContent = status === 'processing' ? `${percent} %` : { queued: '…', failed: '✕', cancelled: '–' }[status] ?? ''
  }

  async #showPicture({ fresh }) {
    const artifact = this.row.result?.artifacts?.[0]
    if (!artifact) return
    const key = `${artifact.bucket}/${artifact.path}${fresh ? '?fresh' : ''}`
    if (this.#shown === key || (!fresh && this.#shown?.startsWith(key))) return
    this.#shown = key
    const { picture, open } = this.#parts
    try {
      const url = await this.#urlOf(artifact, { fresh })
      await this.present(picture, url, artifact)
      open.href = url
      picture.hidden = open.hidden = false
    } catch (error) {
      this.complain(`The picture is made, but it cannot be read now: ${error.message}`)
    }
  }

  async #open(click) {
    click.preventDefault() // the link may be older than its signature
    try {
      globalThis.open(await this.#urlOf(this.row.result.artifacts[0], { fresh: false }), '_blank', 'noopener')
    } catch (error) {
      this.complain(error.message)
    }
  }

  async #cancel(onCancel) {
    this.#parts.cancel.disabled = true
    try {
      await onCancel(this.row.id)
    } catch (error) {
      this.complain(`It could not be cancelled: ${error.message}`)
      this.#parts.cancel.disabled = false
    }
  }
}
