// What supabase-js does with files, told as JSON: each line is one call, so that the test can name what broke.

import { createRequire } from 'node:module'

const { createClient } = createRequire(new URL('../../../devstack/page/package.json', import.meta.url))('@supabase/supabase-js')
const { storage } = createClient(process.env.URL, process.env.KEY, { auth: { persistSession: false } })
const bytes = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 1, 2, 3])
const png = { contentType: 'image/png' }
const text = async (url) => [(await fetch(url)).status, (await (await fetch(url)).arrayBuffer()).byteLength]
const told = {}
const note = async (name, call) => {
  const { data, error } = await call
  told[name] = error ? { name: error.name, status: error.status, statusCode: error.statusCode, code: error.code } : data
}

await storage.createBucket('js', { public: false, fileSizeLimit: '1MB', allowedMimeTypes: ['image/*'] })
await storage.createBucket('open', { public: true })
await note('buckets', storage.listBuckets({ search: 'js', limit: 5, sortColumn: 'name', sortOrder: 'asc' }))
const bucket = storage.from('js')
await note('blob', bucket.upload('a b/blob.png', new Blob([bytes], { type: 'image/png' }), { ...png, metadata: { n: 1 } }))
await note('buffer', bucket.upload('a b/buffer.png', bytes, { ...png, cacheControl: '60', metadata: { n: 2 } }))
await note('again', bucket.upload('a b/buffer.png', bytes, png))
await note('upsert', bucket.upload('a b/buffer.png', bytes, { ...png, upsert: true }))
await note('update', bucket.update('a b/updated.png', bytes, png))
await note('wrong type', bucket.upload('x.txt', 'words', { contentType: 'text/plain' }))
await note('info', bucket.info('a b/blob.png'))
await note('exists', bucket.exists('a b/blob.png'))
told.missing = (await bucket.exists('nope.png')).data
await note('list', bucket.list('a b', { sortBy: { column: 'name', order: 'desc' }, limit: 2 }))
await note('list v2', bucket.listV2({ prefix: 'a', with_delimiter: true }))
await note('copy', bucket.copy('a b/blob.png', 'copied.png', { destinationBucket: 'open' }))
await note('move', bucket.move('a b/updated.png', 'moved.png'))
const signed = await bucket.createSignedUrl('a b/blob.png', 60, { download: 'my cat.png' })
told.signed = await text(signed.data.signedUrl)
const many = await bucket.createSignedUrls(['moved.png', 'nope.png'], 60)
told.many = [await text(many.data[0].signedUrl), many.data[1].error, many.data[1].signedUrl]
for (const [name, body] of [['in blob.png', new Blob([bytes], { type: 'image/png' })], ['in buffer.png', bytes]]) {
  const { data } = await bucket.createSignedUploadUrl(name)
  await note(name, bucket.uploadToSignedUrl(name, data.token, body, png))
}
told.open = await text(storage.from('open').getPublicUrl('copied.png').data.publicUrl)
told.downloaded = (await (await bucket.download('in blob.png')).data.arrayBuffer()).byteLength
await note('transformed', bucket.download('in blob.png', { transform: { width: 10 } }))
await note('versioned', bucket.info('in blob.png', { versionId: 'x' }))
await note('removed', bucket.remove(['moved.png', 'nope.png']))
await note('full', storage.deleteBucket('js'))
await note('emptied', storage.emptyBucket('js'))
await note('deleted', storage.deleteBucket('js'))
console.log(JSON.stringify(told))
