// The pictures of the main pages. QUIRE_TEST_PICTURES is a folder to keep them in;
// without it they are only looked at: each page must fill its window.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { signIn } from "./harness.mjs";

const phone = { viewport: { width: 375, height: 740 }, hasTouch: true, isMobile: true };

for (const [name, options, at, ready] of [
  ["files", {}, "", ".entry"],
  ["files-dark", { colorScheme: "dark" }, "", ".entry"],
  ["files-phone", phone, "", ".entry"],
  ["admin", {}, "/admin", "td"],
  ["account-phone", phone, "/account/security", ".rows li"],
]) {
  test(`picture: ${name}`, async () => {
    const me = await signIn("admin", options);
    const { page } = me;
    const e = await me.folder(`Documents of ${name}`, { "Annual report.docx": "x".repeat(48211), "Budget.xlsx": "x".repeat(9120), "Talk.pptx": "x".repeat(120000), "notes.txt": "notes", "Pictures/one.txt": "1" });
    await page.goto(at || `/files/${e.uid}`);
    await page.locator(ready).first().waitFor();
    await page.waitForLoadState("networkidle");
    const shot = await page.screenshot();
    assert.ok(shot.length > 10_000, "the page is blank");
    if (process.env.QUIRE_TEST_PICTURES) {
      mkdirSync(process.env.QUIRE_TEST_PICTURES, { recursive: true });
      writeFileSync(`${process.env.QUIRE_TEST_PICTURES}/${name}.png`, shot);
    }
    await me.close();
  });
}
