// The queue of uploads and its panel. How bytes get to the server is in send.ts.

import { useState } from "preact/hooks";
import { boot } from "./boot";
import { Failure, get, post, type Entry } from "./api";
import { size, t } from "./i18n";
import { Icon } from "./icons";
import { Store, useStore } from "./store";
import { Button, Dialog, IconButton } from "./ui";

export type Conflict = "reject" | "rename" | "replace";

type State = "waiting" | "checking" | "asking" | "running" | "paused" | "done" | "skipped" | "failed" | "lost";

export interface Upload {
  id: number;
  folder: Entry;
  /** Below the folder: a name, or a path of one. */
  path: string;
  size: number;
  modified: number;
  file: File | null; // null after a reload, until it is chosen again
  sent: number;
  state: State;
  conflict: Conflict;
  error: string;
  sender: Sender | null;
}

/** How one file is being sent. */
export interface Sender {
  stop(forGood: boolean): void;
}

export interface Found {
  file: File | null; // null for an empty folder
  path: string;
}

const parallel = 3;
const kept = "quire.uploads";

/** What is remembered over a reload, for who signed in: enough to go on when the file is chosen again. */
interface Kept {
  user: string;
  uid: string;
  name: string;
  path: string;
  size: number;
  modified: number;
  folderPath: string;
}

class Uploads extends Store {
  list: Upload[] = [];
  asking: Upload | null = null;
  /** What was chosen for all conflicts of the rest. */
  private forAll: Conflict | "skip" | null = null;
  private next = 1;
  private landed = new Set<() => void>();
  private told: ReturnType<typeof setTimeout> | undefined;
  private drawn = 0;

  constructor() {
    super();
    this.recall();
    addEventListener("online", () => this.list.filter((u) => u.state === "failed").forEach((u) => this.retry(u)));
    addEventListener("beforeunload", (e) => {
      if (this.list.some((u) => u.state === "running" || u.state === "waiting")) e.preventDefault();
    });
  }

  onLanded(f: () => void): () => void {
    this.landed.add(f);
    return () => this.landed.delete(f);
  }

  /** Adds files to the queue. One that was begun before a reload goes on. */
  add(folder: Entry, found: Found[]): void {
    for (const { file, path } of found) {
      if (!file) {
        void this.makeFolder(folder, path);
        continue;
      }
      const lost = this.list.find((u) => u.state === "lost" && u.path === path && u.size === file.size && u.modified === file.lastModified);
      if (lost) {
        lost.file = file;
        lost.state = "waiting";
        continue;
      }
      this.list.push({ id: this.next++, folder, path, size: file.size, modified: file.lastModified, file, sent: 0, state: "waiting", conflict: "reject", error: "", sender: null });
    }
    this.save();
    this.changed();
    this.work();
  }

  async addDropped(folder: Entry, data: DataTransfer): Promise<void> {
    // The items are only there until the first wait.
    const entries = [...data.items].map((i) => i.webkitGetAsEntry()).filter((e): e is FileSystemEntry => !!e);
    const loose = entries.length ? [] : [...data.files];
    const found: Found[] = loose.map((file) => ({ file, path: file.name }));
    for (const e of entries) await walk(e, "", found);
    this.add(folder, found);
  }

  private async makeFolder(folder: Entry, path: string): Promise<void> {
    try {
      await post("file/fileops/create_folder", { path: join(folder.path, path) });
    } catch (e) {
      if (!(e instanceof Failure && e.code === "exists")) return;
    }
    this.tell();
  }

  private work(): void {
    const busy = this.list.filter((u) => u.state === "running" || u.state === "checking").length;
    for (const u of this.list.filter((x) => x.state === "waiting").slice(0, Math.max(0, parallel - busy))) void this.begin(u);
  }

  private async begin(u: Upload): Promise<void> {
    u.state = "checking";
    this.changed();
    if (u.conflict === "reject" && u.sent === 0) {
      try {
        const there = await get<Entry>("content/metadata", { path: join(u.folder.path, u.path) });
        if (u.state !== "checking") return;
        if (there.is_dir) u.conflict = "rename";
        else if (this.forAll) this.settle(u, this.forAll);
        else {
          u.state = "asking";
          this.ask();
          return;
        }
      } catch (e) {
        if (!(e instanceof Failure) || e.status !== 404) return this.fail(u, e);
      }
    }
    if ((u.state as State) !== "checking") return this.work();
    u.state = "running";
    this.changed();
    const { send } = await import("./send");
    if ((u.state as State) !== "running") return;
    u.sender = send(u, {
      progress: (n) => {
        u.sent = n;
        this.draw();
      },
      done: () => {
        u.state = "done";
        u.sent = u.size;
        u.sender = null;
        u.file = null;
        this.finish();
      },
      failed: (e) => {
        if (e instanceof Failure && e.code === "exists") {
          u.state = "asking";
          u.sent = 0;
          this.ask();
        } else this.fail(u, e);
      },
    });
  }

  private ask(): void {
    this.asking ??= this.list.find((u) => u.state === "asking") ?? null;
    this.changed();
    this.work();
  }

  private settle(u: Upload, choice: Conflict | "skip"): void {
    if (choice === "skip") u.state = "skipped";
    else u.conflict = choice;
  }

  answer(choice: Conflict | "skip", all: boolean): void {
    const list = all ? this.list.filter((u) => u.state === "asking") : this.asking ? [this.asking] : [];
    if (all) this.forAll = choice;
    for (const u of list) {
      this.settle(u, choice);
      if (u.state === "asking") u.state = "waiting";
    }
    this.asking = null;
    this.save();
    this.ask();
  }

  private fail(u: Upload, e: unknown): void {
    u.state = "failed";
    u.sender = null;
    u.error = e instanceof Error ? e.message : String(e);
    this.finish();
  }

  private finish(): void {
    this.save();
    this.tell();
    this.work();
    if (!this.list.some((u) => ["waiting", "checking", "asking", "running"].includes(u.state))) this.forAll = null;
  }

  pause(u: Upload): void {
    u.sender?.stop(false);
    u.sender = null;
    u.state = "paused";
    this.changed();
    this.work();
  }

  retry(u: Upload): void {
    u.state = u.file ? "waiting" : "lost";
    u.error = "";
    this.changed();
    this.work();
  }

  cancel(u: Upload): void {
    u.sender?.stop(true);
    if (!u.sender && u.sent > 0 && u.file) void import("./send").then(({ forget }) => forget(u));
    this.list = this.list.filter((x) => x !== u);
    this.save();
    this.changed();
    this.work();
  }

  clear(): void {
    this.list = this.list.filter((u) => !["done", "skipped"].includes(u.state));
    this.changed();
  }

  /** Tells the lists that something has come, but not for each of a thousand files. */
  private tell(): void {
    this.changed();
    this.told ??= setTimeout(() => {
      this.told = undefined;
      for (const f of this.landed) f();
    }, 250);
  }

  private draw(): void {
    const now = performance.now();
    if (now - this.drawn < 100) return;
    this.drawn = now;
    this.changed();
  }

  private save(): void {
    const list: Kept[] = this.list
      .filter((u) => !["done", "skipped"].includes(u.state))
      .slice(0, 500)
      .map((u) => ({ user: boot.uid, uid: u.folder.uid, name: u.folder.filename, folderPath: u.folder.path, path: u.path, size: u.size, modified: u.modified }));
    if (list.length) localStorage.setItem(kept, JSON.stringify(list));
    else localStorage.removeItem(kept);
  }

  private recall(): void {
    let list: Kept[] = [];
    try {
      list = JSON.parse(localStorage.getItem(kept) ?? "[]") as Kept[];
    } catch {
      localStorage.removeItem(kept);
    }
    for (const k of list) {
      if (k.user !== boot.uid) continue;
      const folder: Entry = { uid: k.uid, filename: k.name, path: k.folderPath, is_dir: true, bytes: 0, modified: 0, revision: 0, access: "editor" };
      this.list.push({ id: this.next++, folder, path: k.path, size: k.size, modified: k.modified, file: null, sent: 0, state: "lost", conflict: "reject", error: "", sender: null });
    }
  }
}

export const join = (folder: string, path: string): string => `${folder.replace(/\/$/, "")}/${path}`;

/** Finds the files of what was dropped, folders and all. */
async function walk(e: FileSystemEntry, above: string, found: Found[]): Promise<void> {
  const path = above + e.name;
  if (e.isFile) {
    found.push({ file: await new Promise<File>((ok, no) => (e as FileSystemFileEntry).file(ok, no)), path });
    return;
  }
  const reader = (e as FileSystemDirectoryEntry).createReader();
  let empty = true;
  for (;;) {
    // A reader gives a hundred at a time, and nothing at the end.
    const page = await new Promise<FileSystemEntry[]>((ok, no) => reader.readEntries(ok, no));
    if (!page.length) break;
    empty = false;
    for (const x of page) await walk(x, `${path}/`, found);
  }
  if (empty) found.push({ file: null, path });
}

export const uploads = new Uploads();

const running = new Set<State>(["waiting", "checking", "asking", "running"]);

export function UploadPanel() {
  const { list, asking } = useStore(uploads);
  const [small, setSmall] = useState(false);
  if (!list.length) return null;
  const active = list.filter((u) => running.has(u.state));
  const counted = list.filter((u) => u.state !== "skipped" && u.state !== "lost");
  const whole = counted.reduce((n, u) => n + u.size, 0);
  const sent = counted.reduce((n, u) => n + Math.min(u.sent, u.size), 0);
  const failed = list.filter((u) => u.state === "failed").length;
  const lost = list.filter((u) => u.state === "lost").length;
  const title = active.length
    ? t("uploading", { n: active.length })
    : failed
      ? t("uploadsFailed", { n: failed })
      : lost
        ? t("uploadsLost", { n: lost })
        : list.some((u) => u.state === "paused")
          ? t("uploadsPaused")
          : t("uploadsDone", { n: list.filter((u) => u.state === "done").length });
  return (
    <section class="uploads" aria-label={t("uploads")}>
      <header>
        <strong role="status">{title}</strong>
        <IconButton icon={small ? "up" : "down"} label={t(small ? "showMore" : "showLess")} aria-expanded={!small} onClick={() => setSmall(!small)} />
        {!active.length && <IconButton icon="close" label={t("close")} onClick={() => (list.filter((u) => u.state === "lost").forEach((u) => uploads.cancel(u)), uploads.clear())} />}
      </header>
      {active.length > 0 && <progress class="uploads-all" aria-label={t("uploadAll")} max={whole || 1} value={sent} />}
      {lost > 0 && !small && <p class="uploads-hint quiet">{t("uploadsLostHint")}</p>}
      {!small && (
        <ul>
          {list.slice(-200).map((u) => (
            <UploadLine key={u.id} u={u} />
          ))}
        </ul>
      )}
      {asking && <ConflictDialog u={asking} more={list.filter((u) => u.state === "asking").length - 1} />}
    </section>
  );
}

function UploadLine({ u }: { u: Upload }) {
  const text: Record<State, string> = {
    waiting: t("upload.waiting"), checking: t("upload.waiting"), asking: t("upload.asking"), running: `${size(u.sent)} / ${size(u.size)}`,
    paused: `${t("upload.paused")} · ${size(u.sent)} / ${size(u.size)}`, done: size(u.size), skipped: t("upload.skipped"), failed: u.error, lost: t("upload.lost"),
  };
  return (
    <li class={`upload upload-${u.state}`}>
      <span class="upload-name" title={u.path}>
        {u.path}
      </span>
      <span class="upload-state">{text[u.state]}</span>
      {(u.state === "running" || u.state === "paused") && <progress aria-label={u.path} max={u.size || 1} value={u.sent} />}
      <span class="upload-tools">
        {u.state === "running" && <IconButton icon="pause" size={18} label={t("pauseUpload", { name: u.path })} onClick={() => uploads.pause(u)} />}
        {u.state === "paused" && <IconButton icon="play" size={18} label={t("resumeUpload", { name: u.path })} onClick={() => uploads.retry(u)} />}
        {u.state === "failed" && <IconButton icon="retry" size={18} label={t("retryUpload", { name: u.path })} onClick={() => uploads.retry(u)} />}
        {u.state === "done" ? (
          <span class="upload-done">
            <Icon name="check" size={18} />
          </span>
        ) : (
          <IconButton icon="close" size={18} label={t("cancelUpload", { name: u.path })} onClick={() => uploads.cancel(u)} />
        )}
      </span>
    </li>
  );
}

function ConflictDialog({ u, more }: { u: Upload; more: number }) {
  const [all, setAll] = useState(false);
  const answer = (c: Conflict | "skip") => uploads.answer(c, all);
  return (
    <Dialog key={u.id} title={t("conflict")} onClose={() => answer("skip")}>
      <p>{t("conflictText", { name: u.path, folder: u.folder.filename || t("files") })}</p>
      {more > 0 && (
        <label class="check">
          <input type="checkbox" checked={all} onChange={(e) => setAll(e.currentTarget.checked)} /> {t("conflictAll", { n: more })}
        </label>
      )}
      <footer class="footer-wrap">
        <Button onClick={() => answer("skip")}>{t("conflictSkip")}</Button>
        <Button onClick={() => answer("rename")}>{t("conflictBoth")}</Button>
        <Button kind="primary" data-first onClick={() => answer("replace")}>
          {t("conflictReplace")}
        </Button>
      </footer>
    </Dialog>
  );
}
