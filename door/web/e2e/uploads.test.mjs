import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, writeFileSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { eventually, signIn } from "./harness.mjs";

const folder = mkdtempSync(join(tmpdir(), "quire-uploads-"));

function file(name, content) {
  const path = join(folder, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, content);
  return path;
}

test("files, folders, drops and what is pasted", async () => {
  const me = await signIn();
  const { page, row } = me;
  const e = await me.folder("incoming");
  await page.setInputFiles("[data-upload=files]", [file("one.txt", "one"), file("empty.txt", ""), file("b&amp;{i}.txt", "two")]);
  for (const name of ["one.txt", "empty.txt", "b&amp;{i}.txt"]) await row(name).waitFor();
  await page.getByText("3 files uploaded").waitFor();
  assert.equal((await me.api("GET", "content/metadata", { path: "/incoming/empty.txt" })).bytes, 0);

  file("tree/deep/er/leaf.txt", "leaf");
  file("tree/top.txt", "top");
  await page.setInputFiles("[data-upload=folder]", join(folder, "tree"));
  await row("tree").waitFor();
  await eventually(async () => (await me.api("GET", "content/metadata", { path: "/incoming/tree/deep/er/leaf.txt" })).bytes === 4);

  await page.evaluate(() => {
    const data = new DataTransfer();
    data.items.add(new File(["dropped"], "dropped.txt"));
    const target = document.querySelector(".page");
    for (const type of ["dragover", "drop"]) target.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
    const pasted = new DataTransfer();
    pasted.items.add(new File(["pasted"], "pasted.txt"));
    document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: pasted, bubbles: true, cancelable: true }));
  });
  await row("dropped.txt").waitFor();
  await row("pasted.txt").waitFor();
  assert.equal((await me.api("GET", "content/list", { uid: e.uid })).contents.length, 6);
  await me.close();
});

test("a name that is taken: both, a new version, neither", async () => {
  const me = await signIn();
  const { page, row } = me;
  await me.folder("taken", { "a.txt": "old", "b.txt": "old", "c.txt": "old", "d.txt": "old" });
  const add = (...names) => page.setInputFiles("[data-upload=files]", names.map((n) => file(n, `new ${n}`)));
  await add("a.txt");
  await page.getByRole("button", { name: "Keep both" }).click();
  await row("a (1).txt").waitFor();
  await add("b.txt");
  await page.getByRole("button", { name: "New version" }).click();
  await eventually(async () => (await me.api("GET", "content/metadata", { path: "/taken/b.txt" })).revision === 2);
  await add("a.txt", "b.txt", "c.txt", "d.txt");
  await page.getByText("Also for 3 more").click();
  await page.getByRole("button", { name: "Skip" }).click();
  await page.waitForSelector("dialog", { state: "detached" });
  for (const [name, revision] of [["a.txt", 1], ["b.txt", 2], ["c.txt", 1], ["d.txt", 1]]) {
    assert.equal((await me.api("GET", "content/metadata", { path: `/taken/${name}` })).revision, revision, name);
  }
  await me.close();
});

test("200 MB, cut twice and taken up after a reload", { timeout: 240000 }, async () => {
  const me = await signIn();
  const { page, row } = me;
  await me.folder("large");
  const content = randomBytes(200 << 20);
  const path = file("large.bin", content);
  const sum = createHash("sha256").update(content).digest("hex");
  // What each request brings tells that nothing is sent twice over.
  let sent = 0;
  page.on("request", (r) => {
    if (["PATCH", "PUT"].includes(r.method())) sent += Number(r.headers()["content-length"] ?? 0);
  });
  const client = await me.context.newCDPSession(page);
  await client.send("Network.enable");
  const speed = (offline) =>
    client.send("Network.emulateNetworkConditions", { offline, latency: 2, downloadThroughput: -1, uploadThroughput: 60 << 20 });
  await speed(false);
  const progress = () => page.locator(".upload progress").evaluate((e) => e.value).catch(() => 0);
  await page.setInputFiles("[data-upload=files]", path);
  await eventually(async () => (await progress()) > 50 << 20, "it does not start");
  await speed(true);
  await new Promise((ok) => setTimeout(ok, 700));
  await speed(false);
  await eventually(async () => (await progress()) > 90 << 20, "it does not go on after the network was gone");

  // Pause, and the page is loaded again: the file is chosen once more.
  await page.getByRole("button", { name: "Pause the upload of large.bin" }).click();
  await page.getByRole("button", { name: "Go on with the upload of large.bin" }).waitFor();
  page.on("dialog", (d) => d.accept());
  await page.reload();
  await page.getByText("1 upload is unfinished").waitFor();
  let before = -1;
  await page.setInputFiles("[data-upload=files]", path);
  await eventually(async () => {
    const n = await progress();
    if (n > 0 && before < 0) before = n;
    return before >= 0;
  });
  assert.ok(before > 40 << 20, `it went on from ${before}`);
  await row("large.bin").waitFor({ timeout: 60000 });
  const e = await me.api("GET", "content/metadata", { path: "/large/large.bin" });
  assert.equal(e.bytes, content.length);
  const answer = await me.context.request.get(`/api/v1/file/get?uid=${e.uid}`, { timeout: 60000 });
  assert.equal(createHash("sha256").update(await answer.body()).digest("hex"), sum);
  await me.close();
});

test("an upload that is refused says why", async () => {
  const me = await signIn();
  const { page } = me;
  await me.folder("refused");
  const sites = await me.api("GET", "admin/sites");
  const site = sites.sites[0];
  await me.api("POST", "admin/quota", { id: site.id, quota: String(site.used + 1000) });
  try {
    await page.setInputFiles("[data-upload=files]", file("toolarge.bin", randomBytes(300000)));
    await page.getByText("There is no room left").waitFor();
    await page.getByText("1 upload failed").waitFor();
  } finally {
    await me.api("POST", "admin/quota", { id: site.id, quota: "0" });
  }
  await page.getByRole("button", { name: "Try the upload of toolarge.bin again" }).click();
  await me.row("toolarge.bin").waitFor();
  await me.close();
});
