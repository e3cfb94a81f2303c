// Uploads from a page, with a pause, and reports how it went.
'use strict'
const { base, token } = document.body.dataset
const text = '0123456789abcdef'.repeat(100000)
const file = new File([text], 'browser.txt', { type: 'text/plain' })

function report(what) {
  return fetch('/done', { method: 'POST', body: what })
}

let paused = false
const upload = new tus.Upload(file, {
  endpoint: `${base}/uploads`,
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: file.name, folder: '/from' },
  chunkSize: 300000,
  retryDelays: [0, 100],
  onError: (err) => report(`failed: ${err}`),
  onSuccess: () => report(paused ? 'done' : 'done without a pause'),
  onChunkComplete: async (_, accepted) => {
    if (paused || accepted < 600000) return
    paused = true
    await upload.abort()
    const found = await upload.findPreviousUploads()
    if (found.length !== 1) return report(`${found.length} uploads to go on with`)
    upload.resumeFromPreviousUpload(found[0])
    upload.start()
  },
})
upload.start()
