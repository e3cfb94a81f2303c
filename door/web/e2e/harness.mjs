// What the tests share: a browser, people who are signed in, and files.
// QUIRE_URL is the server, QUIRE_BIN its program, QUIRE_DATA its folder, CHROMIUM
// the browser.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

export const base = process.env.QUIRE_URL;
export const password = "correct horse";

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"] });
});
after(() => browser?.close());

/** Opens a browser in which nobody is signed in. */
export function open(options = {}) {
  return browser.newContext({ viewport: { width: 1280, height: 800 }, baseURL: base, locale: "en-GB", reducedMotion: "reduce", ...options });
}

/** Opens a window of somebody's. What goes wrong in it fails the test that closes it. */
export async function signIn(login = "admin", options = {}) {
  const context = await open(options);
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  const problems = [];
  page.on("pageerror", (e) => problems.push(e.message));
  page.on("console", (m) => {
    // Refusals that a page expects are told by the browser as well.
    if (m.type() === "error" && !/Failed to load resource|net::ERR/.test(m.text())) problems.push(m.text());
  });
  await page.goto("/signin");
  await page.fill("[name=login]", login);
  await page.fill("[name=password]", password);
  await page.click("main button");
  await page.waitForURL(/\/(files|shared)$/);
  await page.waitForSelector(".files");
  const boot = await page.evaluate(() => JSON.parse(document.getElementById("boot").textContent));
  const me = {
    context,
    page,
    boot,
    problems,
    async api(method, path, params = {}) {
      const q = new URLSearchParams(params);
      const answer = await context.request.fetch(`/api/v1/${path}?${q}`, { method, headers: { "X-Quire-Form": boot.form, Origin: base } });
      assert.ok(answer.ok(), `${method} ${path}: ${answer.status()} ${await answer.text()}`);
      return answer.json();
    },
    async put(path, body = "hello") {
      const answer = await context.request.put(`/api/v1/file/put?${new URLSearchParams({ path, overwrite: "true" })}`, { data: Buffer.from(body), headers: { "X-Quire-Form": boot.form } });
      assert.ok(answer.ok(), `${answer.status()} ${await answer.text()}`);
      return answer.json();
    },
    /** Makes a folder of its own for a test and opens it. */
    async folder(name, files = {}) {
      await me.api("POST", "file/fileops/create_folder", { path: `/${name}` });
      for (const [file, body] of Object.entries(files)) await me.put(`/${name}/${file}`, body);
      const e = await me.api("GET", "content/metadata", { path: `/${name}` });
      await page.goto(`/files/${e.uid}`);
      await page.waitForSelector(".count");
      return e;
    },
    row: (name) => page.locator(".entry", { has: page.getByText(name, { exact: true }) }),
    names: () => page.locator(".entry .name > :first-child").allTextContents(),
    async close() {
      await context.close();
      assert.deepEqual(problems, []);
    },
  };
  return me;
}

/** Runs the program itself, on the server's folder. */
export function quire(args, input = "") {
  return execFileSync(process.env.QUIRE_BIN, args, { input, env: process.env, encoding: "utf8" });
}

export function addUser(login, access = "none") {
  quire(["user", "add", login, "--name", login[0].toUpperCase() + login.slice(1), "--access", access], password);
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Looks for what keeps people out (WCAG 2.2 A and AA). */
export async function accessible(page, what) {
  // In a world of its own, where the page's policy does not reach.
  const client = await page.context().newCDPSession(page);
  const { frameTree } = await client.send("Page.getFrameTree");
  const { executionContextId } = await client.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  await client.send("Runtime.evaluate", { expression: axe, contextId: executionContextId });
  const { result, exceptionDetails } = await client.send("Runtime.evaluate", {
    expression: `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"] })
      .then((r) => JSON.stringify(r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.target + " " + n.failureSummary).slice(0, 3).join(" | "))))`,
    contextId: executionContextId,
    awaitPromise: true,
    returnByValue: true,
  });
  assert.equal(exceptionDetails, undefined);
  assert.deepEqual(JSON.parse(result.value), [], what);
}

/** Waits until something holds. */
export async function eventually(f, what = "it did not happen") {
  const end = Date.now() + 20000;
  for (;;) {
    try {
      if (await f()) return;
    } catch (e) {
      if (Date.now() > end) throw e;
    }
    assert.ok(Date.now() < end, what);
    await new Promise((ok) => setTimeout(ok, 60));
  }
}
