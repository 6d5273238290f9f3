/**
 * Draws one image of a pack: its thumbnail, how alike its face is, a link to the whole. Knows the columns of character_images.
 */

/** `urls` are those that were signed for it, by path; `open` opens a path with a new one. */
export function tileOf(image, urls, open) {
  const { position, pose, similarity, similarity_state: state, storage_path: path, thumbnail_path: thumbnail } = image
  const words = { reference: 'reference', measured: `${Math.round(similarity * 100)} %`, below: `${Math.round(similarity * 100)} %, below`, not_measured: 'not measured' }
  const tile = document.createElement('li')
  tile.className = 'tile'
  tile.dataset.position = position
  const link = document.createElement('a')
  Object.assign(link, { href: urls.get(path) ?? '', target: '_blank', rel: 'noopener' })
  link.addEventListener('click', (click) => {
    click.preventDefault() // the link may be older than its signature
    void open(path)
  })
  const picture = document.createElement('img')
  Object.assign(picture, { src: urls.get(thumbnail) ?? urls.get(path) ?? '', alt: `Image ${position + 1}: ${(pose ?? '').replaceAll('_', ' ')}`, decoding: 'async' })
  const badge = document.createElement('span')
  badge.className = 'badge'
  badge.dataset.state = state
  badge.title = state === 'not_measured' ? 'Its face could not be compared' : 'How alike the face is to the reference'
  badge.textContent = words[state] ?? state
  link.append(picture, badge)
  tile.append(link)
  return tile
}
