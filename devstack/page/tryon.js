/**
 * The try-on form: two pictures go into the bucket `uploads`, under the visitor's own folder; a row names their paths.
 * Knows the form and the bucket; what becomes of the row is app.js's and watch.js's.
 */

const EXTENSIONS = { 'image/png': 'png', 'image/jpeg': 'jpg', 'image/webp': 'webp' }
const LARGEST_BYTES = 10 * 2 ** 20

export const TRYON_TABLE = 'generation_sessions'

/** The two pictures that a visitor chooses. */
export class TryonForm {
  #form
  #supabase
  #user

  constructor(form, supabase, user) {
    this.#form = form
    this.#supabase = supabase
    this.#user = user
    for (const input of this.#inputs) input.addEventListener('change', () => this.#preview(input))
  }

  /** Uploads both pictures and gives the row to insert. Throws an Error in plain words. */
  async row() {
    const files = this.#inputs.map(checked)
    const paths = await Promise.all(files.map((file) => upload(this.#supabase, this.#user, file)))
    return { image_urls: paths }
  }

  get #inputs() {
    return [this.#form.elements.person, this.#form.elements.garment]
  }

  #preview(input) {
    const image = input.parentElement.querySelector('img')
    const [file] = input.files
    URL.revokeObjectURL(image.src)
    image.hidden = !file
    if (file) image.src = URL.createObjectURL(file)
  }
}

/** Puts a picture into the user's own folder and gives its path. Throws an Error in plain words. */
export async function uploadPicture(supabase, user, file, what) {
  requirePicture(file, what)
  return upload(supabase, user, file)
}

async function upload(supabase, user, file) {
  const path = `${user.id}/${crypto.randomUUID()}.${EXTENSIONS[file.type]}`
  const { error } = await supabase.storage.from('uploads').upload(path, file, { contentType: file.type })
  if (error) throw error
  return path
}

function checked(input) {
  const [file] = input.files
  const what = input.name === 'person' ? 'of a person' : 'of a garment'
  if (!file) throw new Error(`Choose a picture ${what}.`)
  requirePicture(file, what)
  return file
}

function requirePicture(file, what) {
  if (!EXTENSIONS[file.type]) throw new Error(`The picture ${what} is neither PNG, JPEG nor WebP.`)
  if (file.size > LARGEST_BYTES) throw new Error(`The picture ${what} is larger than 10 MB.`)
}
