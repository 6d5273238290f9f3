/**
 * Character packs: the form that saves a character and asks for its images, and the card that fills image by image.
 * Knows the tables characters, generation_jobs and character_images; how a job's row is followed is watch.js's.
 */

import { reasonOf } from './card.js'
import { tileOf } from './tile.js'
import { uploadPicture } from './tryon.js'
import { isTerminal } from './watch.js'

export const PACK_TABLE = 'generation_jobs'
const BUCKET = 'characters'
const SIGNED_S = 3600
const LOOKS = ['ethnicity', 'hair_color', 'hair_style', 'eye_color', 'body_type', 'outfit_style']
const STATUS = { queued: 'Queued', processing: 'Processing', completed: 'Completed', failed: 'Failed', cancelled: 'Cancelled' }

/** The looks of a character, and how many images of it. */
export class PackForm {
  #form
  #supabase
  #user
  #saved = {} // the last character, and what it was made of: the same looks again are the same person

  constructor(form, supabase, user) {
    this.#form = form
    this.#supabase = supabase
    this.#user = user
    const price = () => (form.querySelector('.price').textContent = `${this.cost} images cost ${this.cost} credits; what fails is given back. The same looks again are the same person.`)
    form.elements.image_count.addEventListener('change', price)
    price()
  }

  /** In credits: one an image. */
  get cost() {
    return Number(this.#form.elements.image_count.value)
  }

  /** Saves the character and gives the job's row to insert. Throws an Error in plain words. */
  async row() {
    const { elements } = this.#form
    const ages = [elements.youngest, elements.oldest].map((input) => input.valueAsNumber)
    if (!ages.every(Number.isInteger) || ages[0] < 18 || ages[1] > 100 || ages[0] > ages[1]) {
      throw new Error('Give two ages from 18 to 100, the youngest first.')
    }
    const looks = LOOKS.map((name) => [name, elements[name].value.trim()]).filter(([, words]) => words)
    const [face] = elements.face.files
    const config = { age_range: ages, subject: elements.subject.value, ...Object.fromEntries(looks) }
    const made = JSON.stringify([config, face && [face.name, face.size, face.lastModified]])
    if (this.#saved.made !== made) this.#saved = { made, id: await this.#save({ config }, face) }
    return { character_id: this.#saved.id, image_count: this.cost }
  }

  async #save(character, face) {
    if (face) character.face_reference_path = await uploadPicture(this.#supabase, this.#user, face, 'of the face')
    const { data, error } = await this.#supabase.from('characters').insert(character).select('id').single()
    if (error) throw error
    return data.id
  }
}

/**
 * Calls onChange whenever an image of the job comes, changes or goes. Where this channel fails, the job's own row, which
 * watch.js follows through everything, still tells of each.
 */
export function watchImages(supabase, jobId, onChange) {
  const tag = Math.random().toString(36).slice(2)
  const channel = supabase
    .channel(`images-${jobId}-${tag}`)
    .on('postgres_changes', { event: '*', schema: 'public', table: 'character_images', filter: `job_id=eq.${jobId}` }, onChange)
    .on('system', {}, ({ status }) => status === 'ok' && onChange()) // only now the subscription lives
  let stopped = false
  // Without it the first join may go out as anon, who sees nothing under RLS.
  void supabase.realtime.setAuth().finally(() => stopped || channel.subscribe())
  return {
    stop: () => {
      stopped = true
      return supabase.removeChannel(channel)
    },
  }
}

/** Draws one job and its images. */
export class PackCard {
  row = {}
  #parts
  #supabase
  #tiles = new Map() // path -> tile
  #reading = null
  #readAgain = false
  #askedMs = 0

  /** onCancel(id) asks for the cancellation. */
  constructor(template, supabase, onCancel) {
    this.element = template.content.firstElementChild.cloneNode(true)
    const part = (name) => this.element.querySelector(name)
    this.#parts = {
      status: part('.status'), elapsed: part('.elapsed'), prompt: part('.prompt'), count: part('.count'), progress: part('progress'),
      images: part('.images'), error: part('.error'), message: part('.message'), cancel: part('.cancel'),
    }
    this.#supabase = supabase
    this.#parts.cancel.addEventListener('click', () => this.#cancel(onCancel))
  }

  /** Whom the pack shows, in words. */
  get title() {
    const { age_range: [youngest, oldest] = [], subject, ethnicity, hair_color: color, hair_style: style, outfit_style: outfit } = this.row.character?.config ?? {}
    const hair = [color, style].filter(Boolean).join(' ')
    const who = [ethnicity, subject ?? 'woman'].filter(Boolean).join(' ')
    return [`${who[0].toUpperCase()}${who.slice(1)}, ${youngest ?? '?'}–${oldest ?? '?'}`, hair && `${hair} hair`, outfit].filter(Boolean).join(', ')
  }

  update(row) {
    this.row = row
    const { status, progress, message, image_count: count, completed_count: done } = row
    const parts = this.#parts
    const finished = isTerminal(row)
    this.element.dataset.status = status
    this.element.dataset.id = row.id
    parts.status.textContent = STATUS[status] ?? status
    parts.prompt.textContent = parts.prompt.title = this.title
    parts.count.textContent = `${done} of ${count} images`
    parts.progress.hidden = finished
    parts.progress.setAttribute('aria-label', `Progress of: ${this.title}`)
    if (status === 'processing') parts.progress.value = progress
    else parts.progress.removeAttribute('value')
    parts.error.hidden = status !== 'failed'
    parts.error.textContent = status === 'failed' ? reasonOf(row) : ''
    if (status !== 'queued') this.#say(finished ? this.#ending() : message || 'A worker has it')
    parts.cancel.hidden = finished
    this.#drawEmptyTiles()
    this.tick()
    void this.refresh()
  }

  /** Reads the images that are there; asked during a read, it reads once more after it. */
  async refresh() {
    this.#readAgain = true
    this.#reading ??= this.#readAll()
    await this.#reading
  }

  /** Draws the time that passed, and where a waiting job stands. */
  tick(nowMs = Date.now()) {
    const { created_at: from, completed_at: to, status } = this.row
    const seconds = Math.max(0, (to ? Date.parse(to) : nowMs) - Date.parse(from)) / 1000
    this.#parts.elapsed.textContent = to || seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds)} s`
    if (status !== 'queued' || nowMs - this.#askedMs < 3000) return
    this.#askedMs = nowMs
    void this.#drawPlace()
  }

  complain(text) {
    this.#parts.error.hidden = false
    this.#parts.error.textContent = text
  }

  #ending() {
    const { status, image_count: count, completed_count: done } = this.row
    if (status === 'failed') return 'Your credits came back.'
    if (done === count) return ''
    const credits = count - done === 1 ? '1 credit' : `${count - done} credits`
    return `${status === 'cancelled' ? 'Cancelled' : 'Some images failed'}. ${done ? 'What is here stays; ' : ''}${credits} came back.`
  }

  #say(text) {
    this.#parts.message.textContent = text
    this.#parts.message.hidden = text === ''
  }

  async #drawPlace() {
    const { data } = await this.#supabase.rpc('queue_status', { p_row_id: this.row.id })
    if (this.row.status !== 'queued') return
    const place = data?.position ? `Number ${data.position} in the queue` : 'Waiting for a free worker'
    this.#say(data?.estimate_s ? `${place}, about ${data.estimate_s} s` : place)
  }

  async #readAll() {
    try {
      while (this.#readAgain) {
        this.#readAgain = false
        await this.#read()
      }
    } catch (error) {
      this.complain(`The images cannot be read now: ${error.message}`)
    } finally {
      this.#reading = null
    }
  }

  async #read() {
    const { data: images, error } = await this.#supabase
      .from('character_images').select('*').eq('job_id', this.row.id).order('position')
    if (error) throw error
    const paths = images.filter(({ storage_path: path }) => !this.#tiles.has(path)).flatMap((image) => [image.storage_path, image.thumbnail_path ?? []].flat())
    const urls = await this.#sign(paths)
    for (const image of images) if (!this.#tiles.has(image.storage_path)) this.#tiles.set(image.storage_path, tileOf(image, urls, this.#open))
    const there = new Set(images.map(({ storage_path: path }) => path))
    for (const path of this.#tiles.keys()) if (!there.has(path)) this.#tiles.delete(path)
    this.#drawTiles(images)
  }

  async #sign(paths) {
    if (paths.length === 0) return new Map()
    const { data, error } = await this.#supabase.storage.from(BUCKET).createSignedUrls(paths, SIGNED_S)
    if (error) throw error
    return new Map(data.map(({ path, signedUrl }) => [path, signedUrl]))
  }

  #drawTiles(images) {
    const shown = images.map(({ storage_path: path }) => this.#tiles.get(path))
    this.#parts.images.replaceChildren(...shown)
    this.#drawEmptyTiles()
  }

  /** A place for every image that is still to come; none for those that never will. */
  #drawEmptyTiles() {
    const { images } = this.#parts
    images.querySelectorAll('.empty').forEach((tile) => tile.remove())
    const missing = isTerminal(this.row) ? 0 : this.row.image_count - images.children.length
    for (let left = missing; left > 0; left--) {
      const tile = document.createElement('li')
      tile.className = 'tile empty'
      tile.setAttribute('aria-hidden', 'true')
      images.append(tile)
    }
  }

  #open = async (path) => {
    try {
      globalThis.open((await this.#sign([path])).get(path), '_blank', 'noopener')
    } catch (error) {
      this.complain(error.message)
    }
  }

  async #cancel(onCancel) {
    this.#parts.cancel.disabled = true
    try {
      await onCancel(this.row.id)
    } catch (error) {
      this.complain(error.message)
    } finally {
      this.#parts.cancel.disabled = false
    }
  }
}
