// Who can use it, and who cannot misuse it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, base, signIn } from "./harness.mjs";

for (const [what, options] of [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["phone", { viewport: { width: 375, height: 740 }, hasTouch: true, isMobile: true }],
]) {
  test(`accessible: ${what}`, async () => {
    const me = await signIn("admin", options);
    const { page, row } = me;
    const e = await me.folder(`open-${what}`, { "a.txt": "a", "b.docx": "b", "c.pdf": "c", "sub/d.txt": "d" });
    await me.put(`/open-${what}/a.txt`, "a second");
    await me.api("POST", "file/shares", { uid: e.uid });
    await row("a.txt").waitFor();
    await accessible(page, "list");
    // No part reaches beyond the window.
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it scrolls sideways");
    await page.getByRole("button", { name: "Tiles" }).click();
    await page.locator("[role=option]").first().waitFor();
    await accessible(page, "tiles");
    await page.getByRole("button", { name: "List" }).click();
    await page.locator(".files").focus();
    await page.keyboard.press("Control+a");
    await page.getByText("4 selected").waitFor();
    await accessible(page, "selection");
    await page.click(".selection [data-action=move]");
    await page.locator(".picker-row").first().waitFor();
    await accessible(page, "move dialog");
    await page.keyboard.press("Escape");
    await page.click(".new-button");
    await accessible(page, "menu");
    await page.keyboard.press("Escape");
    const [file] = (await me.api("GET", "content/list", { uid: e.uid })).contents.filter((x) => x.filename === "a.txt");
    for (const at of [
      `/files/${e.uid}?details=history.${file.uid}`, `/files/${e.uid}?details=sharing.${e.uid}`, `/files/${e.uid}?preview=${file.uid}`,
      "/shared", "/trash", "/search?q=a", "/account", "/account/security", "/account/tokens", "/admin", "/admin/storage", "/admin/uploads", "/admin/audit", "/signout",
    ]) {
      await page.goto(at);
      await page.waitForSelector(at.includes("preview=") ? ".preview pre" : at.includes("history.") ? ".history li" : at.includes("sharing.") ? ".link-line" : "h1, h2");
      await page.waitForLoadState("networkidle");
      await accessible(page, at);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${at} scrolls sideways`);
    }
    await me.close();
  });
}

test("by touch on a phone", async () => {
  const me = await signIn("admin", { viewport: { width: 375, height: 740 }, hasTouch: true, isMobile: true });
  const { page, row } = me;
  await me.folder("thumb", { "in/note.txt": "tapped", "second.txt": "x" });
  await row("in").tap();
  await row("note.txt").tap();
  await page.locator(".preview pre", { hasText: "tapped" }).waitFor();
  await page.getByRole("button", { name: "Close", exact: true }).tap();
  await row("note.txt").getByRole("button").tap();
  await page.locator("[role=menu] [data-action=share]").tap();
  await page.getByLabel("Share with").waitFor();
  const box = await page.locator(".details").boundingBox();
  assert.equal(box.width, 375);
  await me.close();
});

test("the page's policy, and the cookie", async () => {
  const me = await signIn();
  const answer = await me.context.request.get("/files");
  const policy = answer.headers()["content-security-policy"];
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"]) {
    assert.ok(policy.includes(part), part);
  }
  assert.ok(!/unsafe|\*|https?:|data:/.test(policy), policy);
  assert.equal(answer.headers()["x-frame-options"], "DENY");
  assert.ok(!/<script(?![^>]*(src=|application\/json))/.test(await answer.text()), "a script stands in the page");
  const [cookie] = (await me.context.cookies()).filter((c) => /quire$/.test(c.name));
  assert.equal(cookie.httpOnly, true);
  assert.equal(cookie.sameSite, "Lax");
  // The browser holds the page to it: no inline script, no text as markup.
  const tried = await me.page.evaluate(() => {
    const s = document.createElement("script");
    try {
      s.textContent = "window.ran = 1";
      document.body.append(s);
    } catch {}
    let markup = "allowed";
    try {
      document.createElement("div").innerHTML = "<b>x</b>";
    } catch {
      markup = "refused";
    }
    return [window.ran, markup];
  });
  assert.deepEqual(tried, [undefined, "refused"]);
  await me.context.close(); // what was refused is told on the console
});

test("another site can do nothing", async () => {
  const me = await signIn();
  const { context, boot } = me;
  const send = (headers, path = "file/fileops/create_folder?path=/forged") => context.request.post(`/api/v1/${path}`, { headers });
  for (const [what, headers] of [
    ["no token", { Origin: base }],
    ["a wrong token", { Origin: base, "X-Quire-Form": "forged" }],
    ["another origin", { Origin: "https://evil.example.org", "X-Quire-Form": boot.form }],
    ["a browser that says so", { "Sec-Fetch-Site": "cross-site", "X-Quire-Form": boot.form }],
    ["a sister host", { "Sec-Fetch-Site": "same-site", "X-Quire-Form": boot.form }],
  ]) {
    const answer = await send(headers);
    assert.equal(answer.status(), 403, what);
    assert.equal((await answer.json()).error, "bad_form", what);
  }
  const put = await context.request.put("/api/v1/file/put?path=/forged.txt", { data: "x", headers: { Origin: base } });
  assert.equal(put.status(), 403);
  const zip = await context.request.post("/api/v1/file/zip", { form: { uids: boot.root, form: "forged" } });
  assert.equal(zip.status(), 403);
  assert.equal((await context.request.get("/api/v1/content/metadata?path=/forged")).status(), 404);
  assert.equal((await context.request.get("/api/v1/content/metadata?path=/forged.txt")).status(), 404);
  // With a cookie that is nobody's.
  const stranger = await fetch(`${base}/api/v1/account`, { headers: { Cookie: "quire=forged" } });
  assert.equal(stranger.status, 401);
  // A token is not a browser: it cannot make more tokens or change passwords.
  const { token } = await me.api("POST", "account/create_token", { label: "t", scope: "admin", expires_in: "60" });
  for (const path of ["account/create_token?label=x&scope=admin", "account/password?old=a&new=b", "admin/add_user?login=x&password=correct+horse"]) {
    const answer = await fetch(`${base}/api/v1/${path}`, { method: "POST", headers: { Authorization: `Bearer ${token}` } });
    assert.equal(answer.status, 403, path);
  }
  await me.close();
});

test("names with markup are text everywhere", async () => {
  const me = await signIn();
  const { page, row } = me;
  // The store takes no angle brackets in names, but in people's and versions'.
  const tag = `<img src=x onerror="window.ran=1">`;
  const bad = "&lt;img src=x onerror=window.ran=1&gt; '${1}' {{2}}";
  await me.api("POST", "account/profile", { name: `Administrator ${tag}` });
  const e = await me.folder(`names ${bad}`, { [`f ${bad}.txt`]: "x" });
  await row(`f ${bad}.txt`).getByRole("link").click();
  await page.locator(".preview h2").waitFor();
  assert.equal(await page.locator(".preview h2").textContent(), `f ${bad}.txt`);
  await page.keyboard.press("Escape");
  await row(`f ${bad}.txt`).click({ button: "right" });
  await page.click("[role=menu] [data-action=delete]");
  await page.locator(".notice", { hasText: bad }).waitFor();
  await page.goto("/trash");
  await row(`f ${bad}.txt`).waitFor();
  await page.goto("/admin/audit");
  await page.locator("td", { hasText: bad }).first().waitFor();
  await page.goto(`/files/${e.uid}?details=sharing.${e.uid}`);
  await page.locator(".details h2", { hasText: bad }).waitFor();
  await page.getByText(tag).first().waitFor();
  await page.getByRole("button", { name: `Account of Administrator ${tag}` }).waitFor();
  await me.api("POST", "account/profile", { name: "Administrator" });
  assert.equal(await page.evaluate(() => window.ran), undefined);
  assert.equal(await page.locator("img[src=x]").count(), 0);
  await me.close();
});
