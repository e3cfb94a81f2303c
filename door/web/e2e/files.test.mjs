import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { eventually, signIn } from "./harness.mjs";

test("make, rename, move, copy, delete and bring back", async () => {
  const me = await signIn();
  const { page, row } = me;
  await me.folder("work", { "plan.txt": "a plan", "list.txt": "a list" });

  await page.click(".new-button");
  await page.click("[data-action=folder]");
  await page.fill("dialog input", "a<b");
  await page.keyboard.press("Enter");
  await page.getByText("This name is not possible").waitFor();
  await page.fill("dialog input", "Inner &lt;b&gt; 'f'");
  await page.keyboard.press("Enter");
  await row("Inner &lt;b&gt; 'f'").waitFor();
  assert.deepEqual(await me.names(), ["Inner &lt;b&gt; 'f'", "list.txt", "plan.txt"], "folders come first, and markup is text");

  for (const kind of ["docx", "xlsx", "pptx", "odt", "ods", "odp"]) {
    await page.click(".new-button");
    await page.click(`[data-action=${kind}]`);
    await page.fill("dialog input", `new.${kind}`);
    await page.keyboard.press("Enter");
    await row(`new.${kind}`).waitFor();
  }
  const made = await me.api("GET", "content/metadata", { path: "/work/new.xlsx" });
  assert.ok(made.bytes > 1000);

  // By keyboard alone: choose, rename.
  await page.locator(".files").focus();
  await page.keyboard.press("End");
  await page.keyboard.press("F2");
  const field = page.locator("dialog input");
  assert.equal(await field.evaluate((e) => e.value.slice(e.selectionStart, e.selectionEnd)), "plan");
  await page.keyboard.type("better");
  await page.keyboard.press("Enter");
  await row("better.txt").waitFor();

  // A name that is taken is refused with a sentence, and the dialog stays.
  await row("better.txt").locator(".cell-modified").click();
  await page.keyboard.press("F2");
  await page.fill("dialog input", "list.txt");
  await page.keyboard.press("Enter");
  await page.getByText("Something with this name is there already").waitFor();
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });

  // Move by the dialog.
  await row("better.txt").click({ button: "right" });
  await page.click("[role=menu] [data-action=move]");
  await page.locator(".picker-row", { hasText: "work" }).click();
  await page.locator(".picker-row", { hasText: "Inner" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".crumbs-small .crumb").length === 3);
  await page.getByRole("button", { name: "Move here" }).click();
  await row("better.txt").waitFor({ state: "detached" });
  assert.equal((await me.api("GET", "content/metadata", { path: "/work/Inner &lt;b&gt; 'f'/better.txt" })).bytes, 6);

  // Move by dragging.
  await row("list.txt").dragTo(row("Inner &lt;b&gt; 'f'"));
  await row("list.txt").waitFor({ state: "detached" });

  // Copy.
  await row("new.odt").click({ button: "right" });
  await page.click("[role=menu] [data-action=copy]");
  await page.locator(".picker-row", { hasText: "work" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".crumbs-small .crumb").length === 2);
  await page.getByRole("button", { name: "Copy here" }).click();
  await row("new (1).odt").waitFor();

  // Delete, undo, delete.
  await row("new.odp").locator(".cell-modified").click();
  await page.keyboard.press("Delete");
  await row("new.odp").waitFor({ state: "detached" });
  await page.click(".notice-action");
  await row("new.odp").waitFor();
  await row("new.odp").locator(".cell-modified").click();
  await row("new.pptx").locator(".cell-modified").click({ modifiers: ["Control"] });
  await page.getByText("2 selected").waitFor();
  await page.click(".selection [data-action=delete]");
  await row("new.pptx").waitFor({ state: "detached" });

  // The trash.
  await page.getByRole("link", { name: "Trash" }).click();
  await row("new.pptx").click();
  await page.click(".selection [data-action=restore]");
  await row("new.pptx").waitFor({ state: "detached" });
  assert.ok((await me.api("GET", "content/metadata", { path: "/work/new.pptx" })).bytes > 0);
  await row("new.odp").click();
  await page.click(".selection [data-action=purge]");
  await page.getByRole("dialog").getByRole("button", { name: "Delete for good" }).click();
  await row("new.odp").waitFor({ state: "detached" });
  await me.close();
});

test("find, sort, walk", async () => {
  const me = await signIn();
  const { page, row } = me;
  const folder = await me.folder("search", { "small.txt": "1", "large.txt": "1".repeat(5000), "Needle in hay.txt": "12" });
  await page.getByRole("button", { name: "Size" }).click();
  await eventually(async () => (await me.names()).join() === "large.txt,Needle in hay.txt,small.txt", "the largest first");
  await page.getByRole("button", { name: "Size" }).click();
  await eventually(async () => (await me.names())[0] === "small.txt");
  await page.getByRole("button", { name: "Name" }).first().click();

  await page.keyboard.press("/");
  await page.keyboard.type("needle");
  await page.keyboard.press("Enter");
  await row("Needle in hay.txt").waitFor();
  assert.equal((await me.names()).length, 1);
  await row("Needle in hay.txt").click({ button: "right" });
  await page.click("[role=menu] [data-action=show]");
  await page.waitForURL(`**/files/${folder.uid}`);
  await page.getByRole("heading", { name: "search" }).waitFor();

  // Up by the path, back by the browser.
  await page.locator(".crumbs").getByRole("link", { name: "Files" }).click();
  await page.waitForURL("**/files");
  await page.goBack();
  await row("small.txt").waitFor();
  await me.close();
});

test("a selection comes as one archive", async () => {
  const me = await signIn();
  const { page, row } = me;
  await me.folder("pack", { "one.txt": "one", "sub/two.txt": "two", "ü ö.txt": "three" });
  await row("one.txt").waitFor();
  await page.locator(".files").focus();
  await page.keyboard.press("Control+a");
  await page.getByText("3 selected").waitFor();
  const coming = page.waitForEvent("download");
  await page.click(".selection [data-action=download]");
  const got = await coming;
  assert.equal(got.suggestedFilename(), "files.zip");
  const bytes = await readFile(await got.path());
  for (const name of ["one.txt", "sub/", "sub/two.txt", "ü ö.txt"]) assert.ok(bytes.includes(Buffer.from(name)), name);
  assert.equal(bytes.readUInt32LE(bytes.length - 22), 0x06054b50, "it has an end");
  assert.equal(bytes.readUInt16LE(bytes.length - 22 + 10), 4);
  await me.close();
});

test("a range, and the tiles", async () => {
  const me = await signIn();
  const { page, row } = me;
  await me.folder("range", Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`f${i}.txt`, "x"])));
  await row("f2.txt").locator(".cell-modified").click();
  await row("f5.txt").locator(".cell-modified").click({ modifiers: ["Shift"] });
  await page.getByText("4 selected").waitFor();
  await page.keyboard.press("Escape");
  await page.getByText("8 items").waitFor();
  await page.getByRole("button", { name: "Tiles" }).click();
  await page.locator("[role=option]").first().waitFor();
  assert.equal(await page.locator("[role=option]").count(), 8);
  await page.locator(".files").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+ArrowRight");
  await page.getByText("2 selected").waitFor();
  await page.getByRole("button", { name: "List" }).click();
  await me.close();
});

test("in German", async () => {
  const me = await signIn("admin", { locale: "de-DE" });
  const { page } = me;
  await page.getByRole("button", { name: "Neu", exact: true }).waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), "de");
  await page.getByRole("link", { name: "Papierkorb" }).click();
  await page.getByRole("heading", { name: "Papierkorb" }).waitFor();
  await page.goto("/account");
  await page.getByLabel("Sprache").selectOption("en");
  await page.getByRole("heading", { name: "Appearance" }).waitFor();
  await me.close();
});
