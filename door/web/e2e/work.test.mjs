import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { accessible, addUser, base, eventually, quire, signIn } from "./harness.mjs";

const pdf = `%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj
trailer<</Root 1 0 R>>
`;
const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==", "base64");

/** A second of silence. */
function wav() {
  const b = Buffer.alloc(44 + 8000, 128);
  b.write("RIFF", 0);
  b.writeUInt32LE(36 + 8000, 4);
  b.write("WAVEfmt ", 8);
  b.writeUInt32LE(16, 16);
  b.writeUInt16LE(1, 20);
  b.writeUInt16LE(1, 22);
  b.writeUInt32LE(8000, 24);
  b.writeUInt32LE(8000, 28);
  b.writeUInt16LE(1, 32);
  b.writeUInt16LE(8, 34);
  b.write("data", 36);
  b.writeUInt32LE(8000, 40);
  return b;
}

test("previews of every kind, and nothing that was uploaded runs", async () => {
  const me = await signIn();
  const { page, row } = me;
  await me.folder("look", {
    "text.txt": "some <b>text</b>",
    "page.html": "<script>top.ran = true; document.title = 'ran'</script><h1>a page</h1>",
    "picture.svg": `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" onload="top.ran = true"><script>top.ran = true</script><rect width="40" height="40"/></svg>`,
    "picture.png": png,
    "paper.pdf": pdf,
    "sound.wav": wav(),
    "unknown.xyz": "?",
    "letter.docx": "not really",
  });
  const open = async (name) => {
    await row(name).getByRole("link").click();
    await page.locator("dialog.preview h2", { hasText: name }).waitFor();
  };
  const shut = async () => {
    await page.locator("dialog.preview").getByRole("button", { name: "Close", exact: true }).click();
    await page.waitForSelector("dialog.preview", { state: "detached" });
  };
  await open("text.txt");
  await page.locator(".preview pre", { hasText: "some <b>text</b>" }).waitFor();
  await shut();
  await open("page.html");
  await page.locator(".preview pre", { hasText: "<script>" }).waitFor();
  assert.equal(await page.locator(".preview iframe").count(), 0);
  await shut();
  await open("picture.svg");
  await page.waitForFunction(() => document.querySelector(".preview-image")?.naturalWidth > 0);
  await shut();
  await open("picture.png");
  await page.waitForFunction(() => document.querySelector(".preview-image")?.naturalWidth === 1);
  await page.keyboard.press("ArrowRight");
  await page.locator("dialog.preview h2", { hasText: "picture.svg" }).waitFor();
  await shut();
  await open("sound.wav");
  await page.waitForFunction(() => Math.abs(document.querySelector("audio").duration - 1) < 0.1);
  await shut();
  await open("paper.pdf");
  const frame = await (await page.waitForSelector(".preview-frame")).getAttribute("src");
  assert.match(frame, /disposition=inline/);
  await shut();
  await open("unknown.xyz");
  await page.getByText("There is no preview of this kind of file").waitFor();
  await shut();
  // No editor is connected: a sentence instead of a dead button.
  await open("letter.docx");
  await page.getByRole("button", { name: "Edit" }).click();
  const notice = page.locator(".notice", { hasText: "No editor is connected" });
  await notice.waitFor();
  assert.ok(
    await notice.evaluate((e) => {
      const r = e.getBoundingClientRect();
      const [top] = document.elementsFromPoint(r.x + 30, r.y + r.height / 2);
      return r.height > 0 && document.querySelector(".notices:popover-open") !== null && top !== null;
    }),
    "it is above the preview",
  );
  await shut();
  // Straight to the address of the content, in a tab of its own.
  for (const name of ["page.html", "picture.svg"]) {
    const e = await me.api("GET", "content/metadata", { path: `/look/${name}` });
    const answer = await me.context.request.get(`/api/v1/file/get?uid=${e.uid}&disposition=inline`);
    assert.match(answer.headers()["content-disposition"], /^attachment/);
    assert.match(answer.headers()["content-security-policy"], /sandbox/);
    assert.equal(answer.headers()["x-content-type-options"], "nosniff");
  }
  assert.equal(await page.evaluate(() => window.ran), undefined);
  await me.close();
});

test("two people see each other's lock", async () => {
  addUser("lea", "editor");
  const me = await signIn();
  const lea = await signIn("lea");
  const e = await me.folder("locked", { "shared.docx": "words" });
  await lea.page.goto(`/files/${e.uid}`);
  await lea.row("shared.docx").waitFor();
  const access = JSON.parse(quire(["wopi", "url", "/locked/shared.docx", "--user", "lea", "--public-url", base]));
  const wopi = async (operation) => {
    const answer = await fetch(`${access.wopisrc}?access_token=${access.access_token}`, {
      method: "POST",
      headers: { "X-WOPI-Override": operation, "X-WOPI-Lock": "lock-1", "X-WOPI-LockUserVisible": "True" },
    });
    assert.equal(answer.status, 200);
  };
  await wopi("LOCK");
  await me.row("shared.docx").getByText("Lea is editing").waitFor();
  await lea.row("shared.docx").getByText("Lea is editing").waitFor();
  await me.row("shared.docx").locator(".cell-modified").click();
  await me.page.keyboard.press("Delete");
  await me.page.getByText("It is being edited").waitFor();
  await wopi("UNLOCK");
  await me.row("shared.docx").locator(".lock").waitFor({ state: "detached" });
  await lea.close();
  await me.close();
});

test("history: look, download, name, restore", async () => {
  const me = await signIn();
  const { page, row } = me;
  await me.folder("versions", { "diary.txt": "first" });
  await me.put("/versions/diary.txt", "second!");
  await me.put("/versions/diary.txt", "third, and last");
  await row("diary.txt").click({ button: "right" });
  await page.click("[role=menu] [data-action=history]");
  await page.waitForFunction(() => document.querySelectorAll(".history li").length === 3);
  await page.getByText("Administrator · Browser · 7 bytes").waitFor();
  await page.getByRole("button", { name: "Preview version 1" }).click();
  await page.locator(".preview pre", { hasText: "first" }).waitFor();
  await page.locator("dialog.preview").getByRole("button", { name: "Close", exact: true }).click();
  const coming = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download version 2" }).click();
  assert.equal(await readFile(await (await coming).path(), "utf8"), "second!");
  await page.getByRole("button", { name: "Name version 2" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Sent to <Bob>");
  await page.keyboard.press("Enter");
  await page.locator(".history strong", { hasText: "Sent to <Bob>" }).waitFor();
  await page.getByRole("button", { name: "Restore version 1" }).click();
  await page.getByText("Restored from version 1").waitFor();
  const now = await me.context.request.get("/api/v1/file/get?path=/versions/diary.txt");
  assert.equal(await now.text(), "first");
  await me.close();
});

test("sharing with people and by links", async () => {
  addUser("max");
  const me = await signIn();
  const max = await signIn("max");
  // Who has nothing but what is shared with them begins there.
  await max.page.getByText("Nothing is shared with you yet").waitFor();
  assert.match(max.page.url(), /shared$/);
  const { page, row } = me;
  await me.folder("given", { "letter.txt": "dear" });
  await row("letter.txt").click({ button: "right" });
  await page.click("[role=menu] [data-action=share]");
  await page.getByLabel("Share with").fill("ma");
  await page.getByRole("option", { name: "Max" }).waitFor();
  await page.keyboard.press("Enter");
  await page.getByLabel("Access of Max").waitFor();

  await max.page.goto("/shared");
  await max.row("letter.txt").getByRole("link").click();
  await max.page.locator(".preview pre", { hasText: "dear" }).waitFor();
  await max.page.keyboard.press("Escape");
  await max.row("letter.txt").click({ button: "right" });
  assert.equal(await max.page.locator("[role=menu] [data-action=rename]").count(), 0, "a viewer cannot rename");
  await max.page.keyboard.press("Escape");
  await page.getByLabel("Access of Max").selectOption("editor");
  await eventually(async () => (await max.api("GET", "content/shared")).entries[0]?.access === "editor");
  await page.getByRole("button", { name: "Stop sharing with Max" }).click();
  await eventually(async () => (await max.api("GET", "content/shared")).entries.length === 0);

  // A link with a password and an end.
  await page.getByRole("button", { name: "New link" }).click();
  await page.getByLabel("Ends").selectOption("7");
  await page.getByLabel("Password").fill("open sesame");
  await page.getByRole("button", { name: "Create link" }).click();
  await page.getByText(/Can view · with a password · until/).waitFor();
  const url = await page.getByLabel("Address of the link").inputValue();
  const guest = await max.context.browser().newContext();
  const tab = await guest.newPage();
  await tab.goto(url);
  await tab.getByLabel("Password").fill("open sesame");
  await tab.getByRole("button").click();
  await tab.getByText("letter.txt").first().waitFor();
  await page.getByRole("button", { name: "End link" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "End link" }).click();
  await page.getByLabel("Address of the link").waitFor({ state: "detached" });
  assert.equal((await tab.goto(url)).status(), 404);
  await guest.close();
  await max.close();
  await me.close();
});

test("account: name, password, sessions, tokens", async () => {
  addUser("zoe", "viewer");
  const other = await signIn("zoe");
  const me = await signIn("zoe");
  const { page } = me;
  await page.goto("/account");
  await page.getByLabel("Name", { exact: true }).fill("Zoë Z.");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved").waitFor();
  await page.getByLabel("Colours").selectOption("dark");
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
  await page.reload();
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");

  await page.goto("/account/tokens");
  await page.getByLabel("What is it for?").fill("backup");
  await page.getByLabel("It may").selectOption("read");
  await page.getByRole("button", { name: "Create" }).click();
  const token = await page.locator(".secret code").textContent();
  const ask = () => fetch(`${base}/api/v1/account`, { headers: { Authorization: `Bearer ${token}` } });
  const answer = await ask();
  assert.equal(answer.status, 200);
  assert.equal((await answer.json()).name, "Zoë Z.");
  await page.getByRole("button", { name: "Revoke backup" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await page.getByText("No tokens yet").waitFor();
  assert.equal((await ask()).status, 401);

  await page.goto("/account/security");
  await page.getByText("This browser").waitFor();
  const sessions = page.locator(".panel", { has: page.getByRole("heading", { name: "Signed in" }) }).locator(".rows li");
  assert.equal(await sessions.count(), 2);
  await page.getByLabel("Old password").fill("wrong wrong");
  await page.getByLabel("New password", { exact: true }).fill("another horse");
  await page.getByLabel("New password again").fill("another horse");
  await page.getByRole("button", { name: "Change password" }).click();
  await page.getByText("The password is wrong").waitFor();
  await page.getByLabel("Old password").fill("correct horse");
  await page.getByRole("button", { name: "Change password" }).click();
  await page.getByText("The password is changed").waitFor();
  await eventually(async () => (await sessions.count()) === 1);
  await other.page.goto("/files");
  assert.match(other.page.url(), /signin/, "signed out elsewhere");
  await other.close();
  await page.goto("/admin");
  await page.getByText("This page is for administrators").waitFor();
  await me.close();
});

test("administration: users, quota, uploads, what happened", async () => {
  const me = await signIn();
  const { page } = me;
  await page.goto("/admin");
  await page.getByRole("button", { name: "Add user" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Sign-in name").fill("ida");
  await dialog.getByLabel("Name", { exact: true }).fill("Ida <script>");
  await dialog.getByLabel("Password").fill("correct horse");
  await dialog.getByRole("button", { name: "Add user" }).click();
  const line = page.locator("tr", { hasText: "Ida <script>" });
  await line.waitFor();
  const ida = await signIn("ida");
  await line.getByRole("button", { name: "Disable" }).click();
  await line.getByText("Disabled").waitFor();
  await ida.page.goto("/files");
  assert.match(ida.page.url(), /signin/, "a disabled user is out at once");
  await ida.close();
  await line.getByRole("button", { name: "Enable" }).click();
  await line.getByText("Disabled").waitFor({ state: "detached" });

  await page.goto("/admin/storage");
  await page.getByRole("button", { name: "Set limit" }).click();
  await page.getByLabel("Gigabytes").fill("50");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText(/of 50 GB used/).first().waitFor();
  await page.locator(".rows li", { hasText: "/readyz" }).getByText("works").waitFor();
  await page.goto("/admin/audit");
  await page.locator("td", { hasText: "quota: 50000000000" }).waitFor();
  await page.goto("/admin/uploads");
  await page.getByRole("heading", { name: "Uploads" }).waitFor();
  await me.put("/made.txt", "words");
  await me.api("POST", "file/transform", { location: "/made.txt", targets: "text/html" });
  await page.goto("/admin/conversions");
  await page.getByText("built in").waitFor();
  await page.getByText("No editor is configured").waitFor();
  await page.locator("td", { hasText: "/made.txt" }).waitFor();
  await accessible(page, "conversions");
  const [site] = (await me.api("GET", "admin/sites")).sites;
  await me.api("POST", "admin/quota", { id: site.id, quota: "0" });
  await me.close();
});

/** A zip archive of stored members, which is what office documents are. */
function archive(parts) {
  const table = Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n >>> 0;
  });
  const crc = (b) => (~b.reduce((c, x) => table[(c ^ x) & 255] ^ (c >>> 8), -1)) >>> 0;
  const files = [];
  const index = [];
  let at = 0;
  for (const [name, text] of Object.entries(parts)) {
    const n = Buffer.from(name);
    const d = Buffer.from(text);
    const head = Buffer.alloc(26);
    head.writeUInt16LE(20, 0);
    head.writeUInt32LE(crc(d), 10);
    head.writeUInt32LE(d.length, 14);
    head.writeUInt32LE(d.length, 18);
    head.writeUInt16LE(n.length, 22);
    files.push(Buffer.from("PK\x03\x04"), head, n, d);
    const where = Buffer.alloc(16);
    where.writeUInt32LE(at, 12);
    index.push(Buffer.from("PK\x01\x02\x14\x00"), head, where.subarray(2), n);
    at += 30 + n.length + d.length;
  }
  const dir = Buffer.concat(index);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(Object.keys(parts).length, 4);
  end.writeUInt16LE(Object.keys(parts).length, 6);
  end.writeUInt32LE(dir.length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...files, dir, Buffer.from("PK\x05\x06"), end]);
}

test("office documents: what a revision changed, and a preview where there is an engine", async () => {
  const me = await signIn();
  const { page, row } = me;
  const e = await me.folder("office", { "plan.docx": archive({ "word/document.xml": "one", "word/styles.xml": "same" }) });
  await me.put("/office/plan.docx", archive({ "word/document.xml": "two", "word/styles.xml": "same", "word/media/new.png": "x" }));
  await page.goto(`/files/${e.uid}`);
  const [file] = (await me.api("GET", "content/list", { uid: e.uid })).contents.filter((x) => x.filename === "plan.docx");
  await page.goto(`/files/${e.uid}?details=history.${file.uid}`);
  await page.getByText("What revision 2 changed").click();
  await page.locator(".changes li", { hasText: "word/document.xml" }).getByText("changed", { exact: true }).waitFor();
  await page.locator(".changes li", { hasText: "word/media/new.png" }).getByText("added", { exact: true }).waitFor();
  assert.equal(await page.locator(".changes li").count(), 2);
  await accessible(page, "what changed");

  // A signed link opens without an account, and gives what it says.
  await me.put("/office/note.txt", "for you");
  const [note] = (await me.api("GET", "content/list", { uid: e.uid })).contents.filter((x) => x.filename === "note.txt");
  await page.goto(`/files/${e.uid}?details=sharing.${note.uid}`);
  await page.getByLabel("It lets them").selectOption("download");
  await page.locator("form", { hasText: "Signed link" }).getByRole("button", { name: "Create" }).click();
  const link = await page.locator(".sharing .secret code").textContent();
  await accessible(page, "signed link");
  const answer = await fetch(link);
  assert.equal(await answer.text(), "for you");
  assert.equal((await fetch(link.replace("note.txt", "plan.docx"))).status, 400);

  const { engines } = await me.api("GET", "admin/engines");
  if (engines.some((x) => x.engine === "LibreOffice" && x.ok)) {
    await me.put("/office/memo.rtf", "{\\rtf1 A memo to all}");
    const [memo] = (await me.api("GET", "content/list", { uid: e.uid })).contents.filter((x) => x.filename === "memo.rtf");
    await page.goto(`/files/${e.uid}?preview=${memo.uid}`);
    await page.locator("iframe.preview-frame").waitFor({ timeout: 60000 });
  }
  await row("plan.docx").first().waitFor();
  await me.close();
});
