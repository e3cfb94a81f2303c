// Drives the server with tus-js-client under Node: uploads that are paused and
// gone on with, streams of unknown length, parallel parts, and terminations.
// Usage: node node.js BASE TOKEN
'use strict'
const assert = require('node:assert')
const crypto = require('node:crypto')
const { Readable } = require('node:stream')
const tus = require('tus-js-client')

const [base, token] = process.argv.slice(2)
const headers = { Authorization: `Bearer ${token}` }
const content = crypto.randomBytes(3_000_000)

function upload(source, options) {
  return new Promise((resolve, reject) => {
    const u = new tus.Upload(source, {
      endpoint: `${base}/uploads`,
      headers,
      retryDelays: [0, 50, 100],
      onError: reject,
      onSuccess: ({ lastResponse }) => resolve({ u, last: lastResponse }),
      ...options,
    })
    u.start()
  })
}

async function main() {
  const urls = new tus.FileUrlStorage(require('node:path').join(__dirname, 'urls.json'))

  const whole = await upload(content, { metadata: { filename: 'whole.bin' } })
  assert.ok(whole.last.getHeader('Quire-Uid'), 'the answer names the file')

  await upload(content, { metadata: { filename: 'pieces.bin' }, chunkSize: 500_000 })

  // Paused in the middle, and gone on with by another object, as after a
  // restart of the program.
  const options = { metadata: { filename: 'paused.bin' }, chunkSize: 300_000, urlStorage: urls, fingerprint: async () => 'paused' }
  let seen = 0
  await new Promise((resolve, reject) => {
    const u = new tus.Upload(content, {
      endpoint: `${base}/uploads`,
      headers,
      onError: reject,
      onChunkComplete: (_, accepted) => {
        if (accepted > 1_000_000) {
          seen = accepted
          u.abort().then(resolve, reject)
        }
      },
      ...options,
    })
    u.start()
  })
  const found = await new tus.Upload(content, { endpoint: `${base}/uploads`, headers, ...options }).findPreviousUploads()
  assert.strictEqual(found.length, 1)
  await new Promise((resolve, reject) => {
    let first = true
    const u = new tus.Upload(content, {
      endpoint: `${base}/uploads`,
      headers,
      onError: reject,
      onSuccess: resolve,
      onProgress: (sent) => {
        if (first) assert.ok(sent >= seen, `it goes on from ${seen}, not ${sent}`)
        first = false
      },
      ...options,
    })
    u.resumeFromPreviousUpload(found[0])
    u.start()
  })

  // A stream whose length is told at its end.
  await upload(Readable.from([content.subarray(0, 1_000_000), content.subarray(1_000_000)]), {
    metadata: { filename: 'stream.bin' },
    uploadLengthDeferred: true,
    chunkSize: 400_000,
  })

  await upload(content, { metadata: { filename: 'with-creation.bin' }, uploadDataDuringCreation: true, chunkSize: 900_000 })
  await upload(content, { metadata: { filename: 'parallel.bin' }, parallelUploads: 4 })
  await upload(Buffer.alloc(0), { metadata: { filename: 'empty.bin' } })
  await upload(content, { metadata: { filename: 'override.bin' }, overridePatchMethod: true })

  // Given up and terminated.
  await new Promise((resolve, reject) => {
    const u = new tus.Upload(content, {
      endpoint: `${base}/uploads`,
      headers,
      metadata: { filename: 'terminated.bin' },
      chunkSize: 500_000,
      onError: reject,
      onChunkComplete: () => u.abort(true).then(resolve, reject),
    })
    u.start()
  })

  await assert.rejects(upload(content, { headers: { Authorization: 'Bearer none' } }), /401/)
  await assert.rejects(upload(content, { metadata: { filename: '../up' } }), /400/)

  console.log(crypto.createHash('sha256').update(content).digest('hex'))
}

main().then(
  () => process.exit(0),
  (err) => {
    console.error(err)
    process.exit(1)
  },
)
