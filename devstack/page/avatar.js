/**
 * The avatar form: a picture and a voice go into the bucket `uploads`; a row names their paths. And the card of a clip, which
 * plays it. Knows the form, the bucket and the columns of a clip; how a row is followed is watch.js's.
 */

import { Card } from './card.js'
import { uploadPicture } from './tryon.js'
import { artifactUrl } from './watch.js'

const EXTENSIONS = { 'audio/wav': 'wav', 'audio/x-wav': 'wav', 'audio/wave': 'wav', 'audio/vnd.wave': 'wav', 'audio/mpeg': 'mp3', 'audio/mp3': 'mp3' }
const TYPES = { wav: 'audio/wav', mp3: 'audio/mpeg' }
const LARGEST_BYTES = 50 * 2 ** 20
const RATE_HZ = 16_000
const SAMPLE_S = 3

export const AVATAR_TABLE = 'avatar_sessions'

/** The picture and the voice that a visitor chooses, or the sample of both. */
export class AvatarForm {
  #form
  #supabase
  #user
  #chosen = {}

  constructor(form, supabase, user) {
    this.#form = form
    this.#supabase = supabase
    this.#user = user
    for (const name of ['face', 'voice']) {
      form.elements[name].addEventListener('change', ({ target }) => this.#choose(name, target.files[0]))
    }
    form.querySelector('.sample').addEventListener('click', () => void this.#takeSample())
  }

  /** Uploads both and gives the row to insert. Throws an Error in plain words. */
  async row() {
    const { face, voice } = this.#chosen
    if (!face) throw new Error('Choose a picture of who speaks.')
    if (!voice) throw new Error('Choose a recording of what is said.')
    const [image_url, audio_url] = await Promise.all([
      uploadPicture(this.#supabase, this.#user, face, 'of who speaks'),
      this.#uploadVoice(voice),
    ])
    return { image_url, audio_url }
  }

  #choose(name, file) {
    const shown = this.#form.querySelector(name === 'face' ? '.picker img' : 'audio')
    URL.revokeObjectURL(shown.src)
    this.#chosen[name] = file
    shown.hidden = !file
    if (file) shown.src = URL.createObjectURL(file)
    else shown.removeAttribute('src')
  }

  async #takeSample() {
    this.#choose('face', await sampleFace())
    this.#choose('voice', new File([sampleVoice()], 'voice.wav', { type: 'audio/wav' }))
  }

  async #uploadVoice(file) {
    const ending = EXTENSIONS[file.type] ?? /\.(wav|mp3)$/i.exec(file.name)?.[1].toLowerCase()
    if (!ending) throw new Error('The recording is neither WAV nor MP3.')
    if (file.size > LARGEST_BYTES) throw new Error('The recording is larger than 50 MB.')
    const path = `${this.#user.id}/${crypto.randomUUID()}.${ending}`
    const { error } = await this.#supabase.storage.from('uploads').upload(path, file, { contentType: TYPES[ending] })
    if (error) throw error
    return path
  }
}

/** A card whose picture is a clip: it plays with the poster in front. */
export class ClipCard extends Card {
  #supabase

  constructor(template, supabase, options) {
    super(template, options)
    this.#supabase = supabase
  }

  get title() {
    return this.row.prompt ?? 'A picture that speaks'
  }

  update(row) {
    super.update(row)
    const { warnings = [], notes = [] } = row.result ?? {}
    if (row.status === 'completed') this.remark([...warnings, ...notes].join(' · '))
  }

  async present(video, url, { bucket, thumbnail_path: path }) {
    video.setAttribute('aria-label', `Clip: ${this.title}`)
    if (path) video.poster = await artifactUrl(this.#supabase, { bucket, path })
    video.src = url
  }
}

/** Syllables of a made voice: a hum with two formants that opens and closes; nobody's recording. */
function sampleVoice() {
  const samples = new Int16Array(SAMPLE_S * RATE_HZ)
  let phase = 0
  for (let at = 0; at < samples.length; at++) {
    const seconds = at / RATE_HZ
    const open = Math.max(0, Math.sin(Math.PI * seconds * 3.5)) ** 0.7
    phase += (2 * Math.PI * (130 + 25 * Math.sin(2 * Math.PI * 0.6 * seconds))) / RATE_HZ
    let sound = 0
    for (let harmonic = 1; harmonic <= 24; harmonic++) {
      const hz = harmonic * 130
      const formants = Math.exp(-(((hz - 350 - 400 * open) / 150) ** 2)) + 0.5 * Math.exp(-(((hz - 1400) / 250) ** 2))
      sound += (Math.sin(harmonic * phase) * (0.15 + formants)) / harmonic ** 0.5
    }
    samples[at] = Math.max(-32767, Math.min(32767, sound * open * 6000))
  }
  return wavOf(samples)
}

function wavOf(samples) {
  const head = new DataView(new ArrayBuffer(44))
  const say = (at, text) => [...text].forEach((letter, place) => head.setUint8(at + place, letter.charCodeAt(0)))
  const numbers = [[16, 16, 4], [20, 1, 2], [22, 1, 2], [24, RATE_HZ, 4], [28, RATE_HZ * 2, 4], [32, 2, 2], [34, 16, 2]]
  say(0, 'RIFF')
  say(8, 'WAVEfmt ')
  say(36, 'data')
  for (const [at, value, bytes] of [...numbers, [4, 36 + samples.byteLength, 4], [40, samples.byteLength, 4]]) {
    bytes === 4 ? head.setUint32(at, value, true) : head.setUint16(at, value, true)
  }
  return new Blob([head, samples])
}

/** A drawn face; nobody's photograph. */
async function sampleFace() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 480, height: 640 })
  const draw = canvas.getContext('2d')
  const oval = (x, y, wide, high, colour) => {
    draw.fillStyle = colour
    draw.beginPath()
    draw.ellipse(x, y, wide, high, 0, 0, 2 * Math.PI)
    draw.fill()
  }
  draw.fillStyle = '#b9c7d6'
  draw.fillRect(0, 0, 480, 640)
  oval(240, 660, 210, 170, '#3d5c96')
  oval(240, 470, 62, 90, '#d9ab8f')
  oval(240, 262, 158, 196, '#3c2a1e')
  oval(240, 300, 132, 176, '#e2b296')
  for (const side of [-1, 1]) {
    oval(240 + side * 54, 280, 26, 15, '#f5f5f5')
    oval(240 + side * 54, 280, 12, 13, '#32231a')
    oval(240 + side * 54, 248, 32, 6, '#3c2a1e')
  }
  oval(240, 340, 16, 26, '#d09c80')
  oval(240, 408, 46, 15, '#aa5052')
  const blob = await new Promise((done) => canvas.toBlob(done, 'image/png'))
  return new File([blob], 'face.png', { type: 'image/png' })
}
