// Drives a server through the Dropbox Core v1 client of its time.
// Usage: node e2e.js SERVER TOKEN
"use strict";

const assert = require("assert");
const Dropbox = require("dropbox");

const [server, token] = process.argv.slice(2);
const client = new Dropbox.Client({
  key: "quire", token, server, fileServer: server, authServer: server, downloadServer: server, notifyServer: server,
});

// call turns a method that ends in a callback into a promise of its results.
function call(name, ...args) {
  return new Promise((resolve, reject) => {
    client[name](...args, (error, ...results) => (error ? reject(error) : resolve(results)));
  });
}

async function fails(status, promise) {
  await assert.rejects(promise, (error) => {
    assert.strictEqual(error.status, status, `${error.status} ${error.responseText}`);
    return true;
  });
}

async function main() {
  const [account] = await call("getAccountInfo");
  assert.strictEqual(account.name, "admin");

  const [dir] = await call("mkdir", "/box");
  assert.ok(dir.isFolder);
  await fails(403, call("mkdir", "/box"));

  const [first] = await call("writeFile", "/box/Hello Wörld.txt", "hello");
  assert.strictEqual(first.path, "/box/Hello Wörld.txt");
  assert.strictEqual(first.size, 5);
  const [text] = await call("readFile", "/box/Hello Wörld.txt");
  assert.strictEqual(text, "hello");

  const [second] = await call("writeFile", "/box/Hello Wörld.txt", "hello again");
  assert.notStrictEqual(second.versionTag, first.versionTag);
  const [old] = await call("readFile", "/box/Hello Wörld.txt", { versionTag: first.versionTag });
  assert.strictEqual(old, "hello");

  const [history] = await call("history", "/box/Hello Wörld.txt");
  assert.deepStrictEqual(history.map((h) => h.versionTag), [second.versionTag, first.versionTag]);
  const [restored] = await call("revertFile", "/box/Hello Wörld.txt", first.versionTag);
  assert.strictEqual(restored.size, 5);

  // A parent that is not the latest keeps both; the latest replaces.
  const [aside] = await call("writeFile", "/box/Hello Wörld.txt", "other", { lastVersionTag: first.versionTag });
  assert.strictEqual(aside.name, "Hello Wörld (conflicted copy).txt");
  const [replaced] = await call("writeFile", "/box/Hello Wörld.txt", "newest", { lastVersionTag: restored.versionTag });
  assert.strictEqual(replaced.path, "/box/Hello Wörld.txt");
  await fails(400, call("writeFile", "/box/Hello Wörld.txt", "x", { lastVersionTag: "feedbeef" }));
  const [copy] = await call("writeFile", "/box/Hello Wörld.txt", "x", { noOverwrite: true });
  assert.strictEqual(copy.name, "Hello Wörld (1).txt");

  // In pieces.
  let [cursor] = await call("resumableUploadStep", "abc", null);
  assert.strictEqual(cursor.offset, 3);
  [cursor] = await call("resumableUploadStep", "defg", cursor);
  assert.strictEqual(cursor.offset, 7);
  const [big] = await call("resumableUploadFinish", "/box/pieces.bin", cursor);
  assert.strictEqual(big.size, 7);
  const [pieces] = await call("readFile", "/box/pieces.bin");
  assert.strictEqual(pieces, "abcdefg");

  const [part] = await call("readFile", "/box/pieces.bin", { start: 2, length: 3 });
  assert.strictEqual(part, "cde");

  const [names, stat, entries] = await call("readdir", "/box");
  assert.deepStrictEqual(names.sort(), ["Hello Wörld (1).txt", "Hello Wörld (conflicted copy).txt", "Hello Wörld.txt", "pieces.bin"].sort());
  assert.ok(stat.isFolder && entries.every((e) => e.isFile));
  const [one] = await call("stat", "/box/pieces.bin");
  assert.strictEqual(one.mimeType, "application/octet-stream");
  await fails(404, call("stat", "/box/none"));

  const [found] = await call("search", "/", "PIECES");
  assert.deepStrictEqual(found.map((e) => e.path), ["/box/pieces.bin"]);

  await call("copy", "/box/pieces.bin", "/box/copied.bin");
  await call("move", "/box/copied.bin", "/box/moved.bin");
  await fails(403, call("move", "/box/moved.bin", "/box/pieces.bin"));

  let [changes] = await call("delta");
  assert.ok(changes.blankSlate);
  while (changes.shouldPullAgain) [changes] = await call("delta", changes.cursor());
  await call("remove", "/box/moved.bin");
  await call("writeFile", "/box/later.txt", "later");
  [changes] = await call("delta", changes.cursor());
  const seen = Object.fromEntries(changes.changes.map((c) => [c.path, c.wasRemoved]));
  assert.deepStrictEqual(seen, { "/box/moved.bin": true, "/box/later.txt": false });

  // A folder that is moved brings what is in it along.
  await call("mkdir", "/box/sub");
  await call("writeFile", "/box/sub/deep.txt", "deep");
  [changes] = await call("delta", changes.cursor());
  await call("move", "/box/sub", "/elsewhere");
  [changes] = await call("delta", changes.cursor());
  const after = Object.fromEntries(changes.changes.map((c) => [c.path, c.wasRemoved]));
  assert.strictEqual(after["/box/sub"], true);
  assert.strictEqual(after["/elsewhere"], false);
  assert.strictEqual(after["/elsewhere/deep.txt"], false);

  const [url] = await call("makeUrl", "/box/later.txt", { long: true });
  assert.ok(String(url.url).includes("/s/"));

  const stranger = new Dropbox.Client({ key: "quire", token: "qt_no_no", server, fileServer: server });
  await assert.rejects(new Promise((resolve, reject) => stranger.stat("/", (e) => (e ? reject(e) : resolve()))), (e) => e.status === 401);
  console.log("all calls passed");
}

main().catch((error) => {
  console.error(error.stack || error, error.responseText || "");
  process.exit(1);
});
