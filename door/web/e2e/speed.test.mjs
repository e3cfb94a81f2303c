import assert from "node:assert/strict";
import { test } from "node:test";
import { signIn } from "./harness.mjs";

const many = 10_000;

test("fast with 10,000 files", { timeout: 300000 }, async () => {
  const me = await signIn();
  const { page, context, boot } = me;
  await me.api("POST", "file/fileops/create_folder", { path: "/many" });
  const e = await me.api("GET", "content/metadata", { path: "/many" });
  let next = 0;
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      for (let i = next++; i < many; i = next++) {
        const name = `file ${String(i).padStart(5, "0")}.${["docx", "pdf", "png", "txt"][i % 4]}`;
        const a = await context.request.put(`/api/v1/file/put?uid=${e.uid}&filename=${encodeURIComponent(name)}`, { data: "x", headers: { "X-Quire-Form": boot.form } });
        assert.ok(a.ok());
        await a.dispose();
      }
    }),
  );

  // The script that the first page needs, as it comes over the wire.
  const client = await context.newCDPSession(page);
  await client.send("Network.enable");
  await client.send("Network.setCacheDisabled", { cacheDisabled: true });
  const scripts = new Map();
  client.on("Network.responseReceived", (r) => r.type === "Script" && scripts.set(r.requestId, 0));
  client.on("Network.loadingFinished", (r) => scripts.has(r.requestId) && scripts.set(r.requestId, r.encodedDataLength));
  await page.goto(`/files/${e.uid}`);
  await page.locator(".entry").first().waitFor();
  await page.waitForLoadState("networkidle");
  const script = [...scripts.values()].reduce((a, b) => a + b, 0);
  console.log(`script of the first load: ${script} bytes`);
  assert.ok(script > 0 && script < 150_000);

  // From the start of the navigation until a row is there and takes a click.
  await client.send("Emulation.setCPUThrottlingRate", { rate: 4 });
  const times = [];
  for (let i = 0; i < 3; i++) {
    await page.goto(`/files/${e.uid}`, { waitUntil: "commit" });
    times.push(
      await page.evaluate(
        () =>
          new Promise((ok) => {
            const look = () => (document.querySelector(".entry .name") ? setTimeout(() => ok(performance.now()), 0) : requestAnimationFrame(look));
            look();
          }),
      ),
    );
  }
  times.sort((a, b) => a - b);
  console.log(`interactive after ${times.map(Math.round)} ms at a quarter of the speed`);
  assert.ok(times[1] < 1000);
  await client.send("Emulation.setCPUThrottlingRate", { rate: 1 });

  // Other programs on the machine only make it slower, so the best of some counts.
  let best;
  for (let i = 0; i < 5 && !(best < 50); i++) {
    const { frame, task } = await scroll(page, client);
    best = Math.min(best ?? Infinity, Math.max(frame, task));
  }
  assert.ok(best < 50, `a frame or a task of ${best} ms`);
  await page.locator(".entry", { hasText: "file 09999.txt" }).waitFor();

  // All of them chosen, and the page still answers.
  await page.locator(".files").focus();
  await page.keyboard.press("Control+a");
  await page.getByText("10,000 selected").waitFor();
  await me.close();
});

// scroll goes all the way down, as fast as a wheel does, and returns the longest
// frame, and the longest task in the browser's trace, in milliseconds.
async function scroll(page, client) {
  const files = page.locator(".files");
  await files.hover();
  await files.evaluate((el) => (el.scrollTop = 0));
  await page.locator(".entry", { hasText: "file 00000.docx" }).waitFor();
  const events = [];
  const collect = (d) => events.push(...d.value);
  client.on("Tracing.dataCollected", collect);
  await client.send("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories: ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"] } });
  await page.evaluate(() => performance.mark("scroll-begin"));
  const gaps = await files.evaluate(
    (el) =>
      new Promise((ok) => {
        const gaps = [];
        let last = performance.now();
        const step = (now) => {
          gaps.push(now - last);
          last = now;
          el.scrollTop += 900;
          if (el.scrollTop + el.clientHeight < el.scrollHeight - 1) requestAnimationFrame(step);
          else ok(gaps.slice(1).sort((a, b) => b - a));
        };
        requestAnimationFrame(step);
      }),
  );
  const done = new Promise((ok) => client.once("Tracing.tracingComplete", ok));
  await client.send("Tracing.end");
  await done;
  client.off("Tracing.dataCollected", collect);
  const main = events.find((x) => x.name === "thread_name" && x.args.name === "CrRendererMain" && events.some((y) => y.tid === x.tid && y.pid === x.pid && y.name === "UpdateLayoutTree"));
  const tasks = events.filter((x) => x.pid === main.pid && x.tid === main.tid && /RunTask$/.test(x.name) && x.dur).map((x) => x.dur / 1000);
  tasks.sort((a, b) => b - a);
  console.log(`${gaps.length} frames, longest gap ${gaps[0].toFixed(1)} ms; ${tasks.length} tasks, longest ${tasks[0].toFixed(1)} ms`);
  assert.ok(tasks.length > 100);
  return { frame: gaps[0], task: tasks[0] };
}
