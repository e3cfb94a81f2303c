// What the views of files show: a list of a known length, of which the parts
// that are looked at are here.

import { get, type Entry, type Folder, type Sort } from "./api";
import { Store } from "./store";

const PAGE = 200;

export abstract class Source extends Store {
  total = -1; // not known yet
  error: Error | null = null;

  abstract at(i: number): Entry | undefined;
  /** Sees to it that the entries from one position to before another are here. */
  abstract ensure(from: number, to: number): Promise<void>;
  /** Looks again at what is shown. */
  abstract refresh(): Promise<void>;

  async all(): Promise<Entry[]> {
    await this.ensure(0, this.total);
    const list: Entry[] = [];
    for (let i = 0; i < this.total; i++) {
      const e = this.at(i);
      if (e) list.push(e);
    }
    return list;
  }

  indexOf(uid: string): number {
    for (let i = 0; i < this.total; i++) if (this.at(i)?.uid === uid) return i;
    return -1;
  }

  close(): void {}
}

/** A folder's children, a page at a time from any position: a large folder costs no more than a small one. */
export class FolderSource extends Source {
  folder: Entry | null = null;
  private pages = new Map<number, Entry[]>();
  private asked = new Map<number, Promise<void>>();
  private shown = new Set<number>([0]);
  private stop = new AbortController();

  constructor(
    readonly uid: string,
    readonly sort: Sort,
    readonly descending: boolean,
  ) {
    super();
    void this.load(0);
  }

  override close(): void {
    this.stop.abort();
  }

  at(i: number): Entry | undefined {
    return this.pages.get(Math.floor(i / PAGE))?.[i % PAGE];
  }

  async ensure(from: number, to: number): Promise<void> {
    const wanted = new Set<number>();
    const waiting: Promise<void>[] = [];
    for (let p = Math.max(0, Math.floor(from / PAGE)); p * PAGE < Math.min(to, this.total < 0 ? to : this.total); p++) {
      wanted.add(p);
      if (!this.pages.has(p)) waiting.push(this.load(p));
    }
    this.shown = wanted.size ? wanted : new Set([0]);
    await Promise.all(waiting);
  }

  private load(p: number): Promise<void> {
    let running = this.asked.get(p);
    if (!running) {
      running = this.fetch(p).finally(() => this.asked.delete(p));
      this.asked.set(p, running);
    }
    return running;
  }

  private async fetch(p: number): Promise<void> {
    try {
      const got = await get<Folder>("content/list", { uid: this.uid, offset: p * PAGE, limit: PAGE, sort: this.sort, descending: this.descending }, this.stop.signal);
      const { contents, total, ...folder } = got;
      if (this.error === null && total === this.total && same(this.pages.get(p), contents) && same(this.folder ? [this.folder] : undefined, [folder as Entry])) return;
      if (this.total >= 0 && total !== this.total) {
        // Positions have moved: what is not looked at is asked for again.
        for (const k of this.pages.keys()) if (!this.shown.has(k)) this.pages.delete(k);
      }
      this.folder = folder as Entry;
      this.total = total;
      this.pages.set(p, contents);
      this.error = null;
    } catch (e) {
      if (this.stop.signal.aborted) return;
      if (this.total >= 0 && (e as { status?: number }).status === 0) return; // offline: show what there is
      this.error = e as Error;
    }
    this.changed();
  }

  async refresh(): Promise<void> {
    for (const k of this.pages.keys()) if (!this.shown.has(k)) this.pages.delete(k);
    await Promise.all([...this.shown].map((p) => this.load(p)));
  }
}

function same(a: Entry[] | undefined, b: Entry[]): boolean {
  if (a?.length !== b.length) return false;
  return a.every((x, i) => {
    const y = b[i]!;
    return (
      x.uid === y.uid && x.filename === y.filename && x.revision === y.revision && x.modified === y.modified && x.path === y.path &&
      x.access === y.access && x.locked === y.locked && x.editing?.join() === y.editing?.join()
    );
  });
}

/** A list that comes whole: what is shared, found or in the trash. */
export class ListSource extends Source {
  private list: Entry[] = [];

  constructor(private readonly load: () => Promise<Entry[]>) {
    super();
    void this.refresh();
  }

  at(i: number): Entry | undefined {
    return this.list[i];
  }

  async ensure(): Promise<void> {}

  async refresh(): Promise<void> {
    try {
      const list = await this.load();
      if (this.total >= 0 && this.error === null && same(this.list, list)) return;
      this.list = list;
      this.total = list.length;
      this.error = null;
    } catch (e) {
      this.error = e as Error;
    }
    this.changed();
  }
}

/** Which entries are chosen, and where the keyboard is. */
export class Selection extends Store {
  readonly chosen = new Map<string, Entry>();
  cursor = -1;
  private anchor = -1;

  constructor(private readonly source: Source) {
    super();
  }

  has(uid: string): boolean {
    return this.chosen.has(uid);
  }

  get entries(): Entry[] {
    return [...this.chosen.values()];
  }

  clear(): void {
    if (!this.chosen.size) return;
    this.chosen.clear();
    this.changed();
  }

  only(i: number): void {
    this.chosen.clear();
    const e = this.source.at(i);
    if (e) this.chosen.set(e.uid, e);
    this.cursor = this.anchor = i;
    this.changed();
  }

  toggle(i: number): void {
    const e = this.source.at(i);
    if (e && !this.chosen.delete(e.uid)) this.chosen.set(e.uid, e);
    this.cursor = this.anchor = i;
    this.changed();
  }

  move(i: number): void {
    this.cursor = i;
    this.changed();
  }

  async extend(i: number): Promise<void> {
    if (this.anchor < 0) this.anchor = Math.max(0, this.cursor);
    const [from, to] = [Math.min(this.anchor, i), Math.max(this.anchor, i) + 1];
    this.cursor = i;
    await this.source.ensure(from, to);
    this.chosen.clear();
    for (let k = from; k < to; k++) {
      const e = this.source.at(k);
      if (e) this.chosen.set(e.uid, e);
    }
    this.changed();
  }

  async everything(): Promise<void> {
    for (const e of await this.source.all()) this.chosen.set(e.uid, e);
    this.changed();
  }

  /** Takes over what the source says now, and drops what it no longer has. */
  renew(): void {
    let touched = false;
    const now = new Map<string, Entry>();
    for (let i = 0; i < this.source.total && now.size < this.chosen.size; i++) {
      const e = this.source.at(i);
      if (e && this.chosen.has(e.uid)) now.set(e.uid, e);
    }
    for (const [uid, e] of now) {
      if (this.chosen.get(uid) !== e) {
        this.chosen.set(uid, e);
        touched = true;
      }
    }
    if (this.cursor >= this.source.total) {
      this.cursor = this.source.total - 1;
      touched = true;
    }
    if (touched) this.changed();
  }

  drop(uids: Iterable<string>): void {
    for (const uid of uids) this.chosen.delete(uid);
    this.changed();
  }
}
