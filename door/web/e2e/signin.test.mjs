// Signing in: people, their second factor, and the apps that they let in. The
// pages are used by keyboard alone, on a desktop and on a phone, and compared
// with the pictures that are kept of them.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";
import { accessible, addUser, base, open, password, quire, signIn } from "./harness.mjs";

const sizes = { desktop: { viewport: { width: 1280, height: 800 } }, phone: { viewport: { width: 375, height: 740 }, hasTouch: true, isMobile: true } };

/** The app that signs people in: it waits for the browser to come back. */
async function app(t, id, ...flags) {
  const got = [];
  const s = createServer((r, w) => {
    if (r.url.startsWith("/cb")) got.push(new URL(r.url, "http://x").searchParams);
    w.setHeader("content-type", "text/html");
    w.end("<title>the app</title>back in the app");
  });
  await new Promise((ok) => s.listen(0, "127.0.0.1", ok));
  t.after(() => {
    s.closeAllConnections();
    s.close();
  });
  const redirect = `http://127.0.0.1:${s.address().port}/cb`;
  quire(["client", "add", "Notes for <everybody>", "--id", id, "--redirect", redirect, "--public", ...flags]);
  const query = new URLSearchParams({ client_id: id, redirect_uri: redirect, response_type: "code", state: "st", scope: "openid profile offline_access read write", code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", code_challenge_method: "S256" });
  return { got, redirect, url: `${base}/oauth2/authorize?${query}` };
}

/**
 * Compares a page with the picture that is kept of it, coarsely: fonts differ
 * from machine to machine, the layout must not. QUIRE_TEST_PICTURES is a folder to
 * write new ones to.
 */
async function picture(page, name) {
  const shot = await page.screenshot();
  if (process.env.QUIRE_TEST_PICTURES) {
    mkdirSync(process.env.QUIRE_TEST_PICTURES, { recursive: true });
    writeFileSync(`${process.env.QUIRE_TEST_PICTURES}/${name}.png`, shot);
  }
  const kept = new URL(`pictures/${name}.png`, import.meta.url);
  if (process.env.QUIRE_TEST_PICTURES) return;
  assert.ok(existsSync(kept), `there is no picture ${name}: run with QUIRE_TEST_PICTURES`);
  // The browser itself compares, in a page without a policy.
  const paper = await page.context().newPage();
  const difference = await paper.evaluate(
    async ([a, b]) => {
      const grey = async (text) => {
        const image = new Image();
        image.src = `data:image/png;base64,${text}`;
        await image.decode();
        const c = new OffscreenCanvas(Math.ceil(image.width / 16), Math.ceil(image.height / 16));
        const x = c.getContext("2d");
        x.imageSmoothingQuality = "high";
        x.drawImage(image, 0, 0, c.width, c.height);
        return { size: [image.width, image.height].join(), data: x.getImageData(0, 0, c.width, c.height).data };
      };
      const [one, two] = [await grey(a), await grey(b)];
      if (one.size !== two.size) return `sizes ${one.size} and ${two.size}`;
      let sum = 0;
      for (let i = 0; i < one.data.length; i += 4) sum += Math.abs(one.data[i] - two.data[i]) + Math.abs(one.data[i + 1] - two.data[i + 1]) + Math.abs(one.data[i + 2] - two.data[i + 2]);
      return sum / ((one.data.length / 4) * 3);
    },
    [shot.toString("base64"), readFileSync(kept).toString("base64")],
  );
  await paper.close();
  assert.ok(difference < 3, `${name} differs from the picture that is kept by ${difference}`);
}

async function fits(page, what) {
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${what} scrolls sideways`);
  await accessible(page, what);
}

for (const [size, options] of Object.entries(sizes)) {
  test(`an app is let in, by keyboard: ${size}`, async (t) => {
    const a = await app(t, `notes-${size}`);
    const login = `kim-${size}`;
    addUser(login, "viewer");
    const context = await open(options);
    const page = await context.newPage();
    await page.goto(a.url);
    await fits(page, "sign-in");
    await picture(page, `signin-${size}`);
    // A wrong password, then the right one. The cursor stands in the name.
    await page.keyboard.type(login);
    await page.keyboard.press("Tab");
    await page.keyboard.type("wrong");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
    await fits(page, "sign-in, refused");
    // The name is still there, and the cursor stands in the password.
    await page.keyboard.type(password);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Allow access?" }).waitFor();
    assert.ok(await page.getByText("Notes for <everybody>").isVisible(), "its name is not shown as text");
    await fits(page, "consent");
    await picture(page, `consent-${size}`);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Allow");
    await page.keyboard.press("Enter");
    await page.getByText("back in the app").waitFor();
    assert.equal(a.got.length, 1);
    assert.equal(a.got[0].get("state"), "st");
    assert.ok(a.got[0].get("code"));
    // The second time nobody is asked; refusing is as easy.
    await page.goto(a.url);
    await page.getByText("back in the app").waitFor();
    assert.equal(a.got.length, 2);
    await page.goto(`${a.url}&prompt=consent`);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByText("back in the app").waitFor();
    assert.equal(a.got[2].get("error"), "access_denied");
    await context.close();
  });
}

test("without JavaScript, in another language, in the dark", async (t) => {
  const a = await app(t, "notes-plain", "--trusted");
  addUser("plain", "viewer");
  const context = await open({ ...sizes.phone, javaScriptEnabled: false, locale: "de-DE", colorScheme: "dark" });
  const page = await context.newPage();
  await page.goto(`${a.url}&rs=de-DE`);
  await page.fill("[name=login]", "plain");
  await page.fill("[name=password]", password);
  await page.getByRole("button", { name: "Anmelden" }).click();
  await page.getByText("back in the app").waitFor();
  assert.ok(a.got[0].get("code"));
  await context.close();
});

const code = (secret) => {
  let bits = "";
  for (const c of secret) bits += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0");
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const at = Buffer.alloc(8);
  at.writeBigInt64BE(BigInt(Math.floor(Date.now() / 30000) + code.ahead));
  const h = createHmac("sha1", key).update(at).digest();
  return String((h.readUInt32BE(h[19] & 15) & 0x7fffffff) % 1e6).padStart(6, "0");
};
code.ahead = 0;

test("a second factor is set up, asked for, and taken off", async () => {
  addUser("otto", "editor");
  const me = await signIn("otto");
  const { page } = me;
  await page.goto("/account/security");
  const panel = page.locator("form.panel", { has: page.getByRole("heading", { name: "Second factor" }) });
  await panel.getByLabel("Password").fill(password);
  await panel.getByRole("button", { name: "Set up" }).click();
  await panel.locator("svg.qr").waitFor();
  await accessible(page, "second factor");
  const secret = await panel.locator("p code").textContent();
  const [recovery] = (await panel.locator(".secret code").textContent()).split(/\s+/);
  await panel.getByLabel("Code from the app").fill(code(secret));
  await panel.getByRole("button", { name: "Confirm" }).click();
  await panel.getByText("Recovery codes left: 10").waitFor();

  const context = await open();
  const other = await context.newPage();
  await other.goto("/signin");
  await other.fill("[name=login]", "otto");
  await other.fill("[name=password]", password);
  await other.keyboard.press("Enter");
  await other.getByRole("heading", { name: "Second step" }).waitFor();
  await fits(other, "second step");
  await picture(other, "code-desktop");
  const focused = other.locator("[name=code]:focus"); // by itself, for who types at once
  await focused.waitFor();
  await other.keyboard.type("000000");
  await other.keyboard.press("Enter");
  await other.getByRole("alert").waitFor();
  await focused.waitFor();
  code.ahead = 1; // the one of this half minute was used to set it up
  await other.keyboard.type(code(secret));
  await other.keyboard.press("Enter");
  await other.waitForURL(/\/(files|shared)$/);
  await context.close();

  const third = await open();
  const last = await third.newPage();
  await last.goto("/signin");
  await last.fill("[name=login]", "otto");
  await last.fill("[name=password]", password);
  await last.keyboard.press("Enter");
  await last.fill("[name=code]", recovery);
  await last.keyboard.press("Enter");
  await last.waitForURL(/\/(files|shared)$/);
  await third.close();

  await page.reload();
  await panel.getByText("Recovery codes left: 9").waitFor();
  await panel.getByLabel("Password").fill(password);
  await panel.getByRole("button", { name: "Take off" }).click();
  await panel.getByRole("button", { name: "Set up" }).waitFor();
  await me.close();
});

test("apps are listed and ended, and administrators add them", async () => {
  const me = await signIn("admin");
  const { page } = me;
  await page.goto("/admin/clients");
  await page.getByLabel("Name").fill("A new app");
  await page.getByLabel("Redirect URL").fill("https://app.example.org/cb");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByText("shown only now").waitFor();
  await accessible(page, "clients");
  await page.getByRole("button", { name: "Remove A new app" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await page.getByText("A new app").first().waitFor({ state: "detached" });

  quire(["client", "add", "Walker", "--id", "walker", "--redirect", "https://localhost", "--public", "--trusted"]);
  quire(["bootstrap", base, "--client", "walker", "--redirect", "https://localhost", "--user", "admin", "--password", password]);
  await page.goto("/account/security");
  const row = page.locator("li", { hasText: "Walker" });
  await row.getByRole("button", { name: "Revoke" }).click();
  await row.waitFor({ state: "detached" });
  await me.close();
});
