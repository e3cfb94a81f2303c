// The list and the tiles of files. Only what can be seen is in the page, so a
// folder of 100,000 files scrolls like one of ten.

import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Entry, Sort } from "./api";
import { size, t, when, whenExactly } from "./i18n";
import { Icon, Sheet } from "./icons";
import type { Selection, Source } from "./listing";
import { useStore } from "./store";
import { Thumb } from "./thumb";
import { IconButton, menus, type Action } from "./ui";

export type Mode = "list" | "grid";

export interface Column {
  id: string;
  label: string;
  sort?: Sort;
  cell: (e: Entry) => string;
  title?: (e: Entry) => string;
}

export const sizeColumn: Column = { id: "size", label: t("size"), sort: "size", cell: (e) => (e.is_dir ? "" : size(e.bytes)) };
export const modifiedColumn: Column = { id: "modified", label: t("modified"), sort: "modified", cell: (e) => when(e.modified), title: (e) => whenExactly(e.modified) };

interface Props {
  label: string;
  source: Source;
  selection: Selection;
  mode: Mode;
  columns: Column[];
  sort?: { by: Sort; descending: boolean; set: (by: Sort, descending: boolean) => void };
  href: (e: Entry) => string | undefined;
  open: (e: Entry) => void;
  actions: (list: Entry[]) => Action[];
  /** What is dropped onto a folder of the list. */
  onDropEntries?: (list: Entry[], to: Entry) => void;
  onDropFiles?: (items: DataTransfer, to: Entry) => void;
  onKey?: (e: KeyboardEvent) => boolean;
}

export const DRAG = "application/x-quire-entries";

const phone = matchMedia("(max-width: 640px)");
const touch = matchMedia("(pointer: coarse)");

export function FileView(p: Props) {
  const { source, selection, mode } = p;
  useStore(source);
  useStore(selection);
  const box = useRef<HTMLDivElement>(null);
  const [dims, setDims] = useState({ width: 0, height: 600 });
  const [top, setTop] = useState(0);
  const [target, setTarget] = useState("");

  const columns = mode === "list" ? 1 : Math.max(2, Math.floor((dims.width - 24) / 176));
  const unit = mode === "list" ? (phone.matches ? 60 : 46) : 184;
  const total = Math.max(0, source.total);
  const rows = Math.ceil(total / columns);
  const around = 6;
  const first = Math.max(0, Math.floor(top / unit) - around);
  const last = Math.min(rows, Math.ceil((top + dims.height) / unit) + around);

  useLayoutEffect(() => {
    const el = box.current!;
    const measure = () => setDims({ width: el.clientWidth, height: el.clientHeight });
    measure();
    const watch = new ResizeObserver(measure);
    watch.observe(el);
    return () => watch.disconnect();
  }, []);

  useEffect(() => {
    if (source.total >= 0) void source.ensure(first * columns, last * columns);
  }, [source, source.total, first, last, columns]);

  useEffect(() => {
    box.current?.scrollTo({ top: 0 });
    setTop(0);
  }, [source]);

  const reveal = useCallback(
    (i: number) => {
      const el = box.current!;
      const y = Math.floor(i / columns) * unit;
      const head = mode === "list" && !phone.matches ? 38 : 0;
      if (y < el.scrollTop) el.scrollTop = y;
      else if (y + unit + head > el.scrollTop + el.clientHeight) el.scrollTop = y + unit + head - el.clientHeight;
    },
    [columns, unit, mode],
  );

  const goTo = (i: number, e: { shiftKey: boolean; ctrlKey: boolean; metaKey: boolean }) => {
    const to = Math.max(0, Math.min(total - 1, i));
    reveal(to);
    void source.ensure(to, to + 1).then(() => {
      if (e.shiftKey) return selection.extend(to);
      if (e.ctrlKey || e.metaKey) selection.move(to);
      else selection.only(to);
    });
  };

  const chosen = (i: number): Entry[] => {
    const e = source.at(i);
    if (e && selection.has(e.uid)) return selection.entries;
    if (e) selection.only(i);
    return e ? [e] : [];
  };

  const menuFor = (i: number, at: { x: number; y: number } | HTMLElement) => {
    const list = chosen(i);
    if (list.length) menus.show(at, list.length === 1 ? list[0]!.filename : t("chosen", { n: list.length }), p.actions(list));
  };

  const keys = (e: KeyboardEvent) => {
    if (e.target !== box.current || !total && e.key !== "Tab") {
      if (e.target === box.current) p.onKey?.(e);
      return;
    }
    const page = Math.max(1, Math.floor(dims.height / unit) - 1) * columns;
    const at = selection.cursor;
    const here = source.at(at);
    const steps: Record<string, number> = {
      ArrowDown: at < 0 ? 0 : at + columns, ArrowUp: at < 0 ? total - 1 : at - columns, Home: 0, End: total - 1, PageDown: at + page, PageUp: at - page,
      ...(mode === "grid" ? { ArrowRight: at + 1, ArrowLeft: at - 1 } : {}),
    };
    const to = steps[e.key];
    if (to !== undefined) goTo(to, e);
    else if (e.key === " " && at >= 0) selection.toggle(at);
    else if (e.key === "Enter" && here) p.open(here);
    else if (e.key === "a" && (e.ctrlKey || e.metaKey)) void selection.everything();
    else if (e.key === "Escape" && selection.chosen.size) selection.clear();
    else if ((e.key === "ContextMenu" || (e.key === "F10" && e.shiftKey)) && at >= 0) {
      const row = box.current!.querySelector<HTMLElement>(`#entry-${at}`);
      if (row) menuFor(at, row);
    } else if (["Delete", "F2"].includes(e.key) && at >= 0) {
      const list = chosen(at);
      p.actions(list).find((a) => a.id === (e.key === "F2" ? "rename" : "delete"))?.run?.();
    } else if (!p.onKey?.(e)) return;
    e.preventDefault();
  };

  const click = (i: number, e: MouseEvent) => {
    if (e.defaultPrevented) return;
    box.current!.focus({ preventScroll: true });
    const entry = source.at(i);
    if (!entry) return;
    const link = (e.target as Element).closest("a");
    if (e.shiftKey) void selection.extend(i);
    else if (e.ctrlKey || e.metaKey) {
      if (link) return; // a new tab, which is the browser's to open
      selection.toggle(i);
    } else if ((e.target as Element).closest(".tick")) selection.toggle(i);
    else if ((link || mode === "grid" || touch.matches) && !(touch.matches && selection.chosen.size)) {
      selection.move(i);
      p.open(entry);
    } else if (touch.matches) selection.toggle(i);
    else selection.only(i);
    e.preventDefault();
  };

  const drag = (i: number, e: DragEvent) => {
    const list = chosen(i);
    e.dataTransfer!.setData(DRAG, JSON.stringify(list.map((x) => x.uid)));
    e.dataTransfer!.effectAllowed = "copyMove";
  };

  const dropProps = (entry: Entry | undefined) =>
    entry?.is_dir && (p.onDropEntries || p.onDropFiles)
      ? {
          onDragOver: (e: DragEvent) => {
            const ours = e.dataTransfer!.types.includes(DRAG);
            if (ours ? selection.has(entry.uid) || !p.onDropEntries : !p.onDropFiles) return;
            e.preventDefault();
            e.stopPropagation();
            setTarget(entry.uid);
          },
          onDragLeave: () => setTarget(""),
          onDrop: (e: DragEvent) => {
            e.preventDefault();
            e.stopPropagation();
            setTarget("");
            if (e.dataTransfer!.types.includes(DRAG)) p.onDropEntries?.(selection.entries, entry);
            else p.onDropFiles?.(e.dataTransfer!, entry);
          },
        }
      : {};

  const common = (i: number, entry: Entry | undefined) => ({
    id: `entry-${i}`,
    "aria-selected": entry ? selection.has(entry.uid) : false,
    class: `entry ${mode === "list" ? "row" : "tile"} ${entry && selection.has(entry.uid) ? "chosen" : ""} ${i === selection.cursor ? "cursor" : ""} ${entry && target === entry.uid ? "target" : ""}`,
    draggable: !!entry && !touch.matches,
    onClick: (e: MouseEvent) => click(i, e),
    onDblClick: () => entry && mode === "list" && p.open(entry),
    onDragStart: (e: DragEvent) => drag(i, e),
    onContextMenu: (e: MouseEvent) => {
      e.preventDefault();
      menuFor(i, { x: e.clientX, y: e.clientY });
    },
    ...dropProps(entry),
  });

  const items = [];
  for (let r = first; r < last; r++) {
    for (let c = 0; c < columns; c++) {
      const i = r * columns + c;
      if (i >= total) break;
      const entry = source.at(i);
      const place = mode === "list" ? { transform: `translateY(${r * unit}px)` } : { transform: `translate(${c * 100}%, ${r * unit}px)`, width: `${100 / columns}%` };
      if (mode === "grid") {
        items.push(
          <div key={i} role="option" aria-setsize={total} aria-posinset={i + 1} style={place} {...common(i, entry)}>
            {entry && (
              <div class="tile-card">
                <span class="tick" aria-hidden="true">
                  <Icon name="check" size={14} />
                </span>
                <Thumb key={`${entry.uid}.${entry.revision}`} entry={entry} />
                <span class="tile-name">{entry.filename}</span>
                <LockMark entry={entry} />
              </div>
            )}
          </div>,
        );
        continue;
      }
      items.push(
        <div key={i} role="row" aria-rowindex={i + 2} style={place} {...common(i, entry)}>
          {entry ? (
            <Row entry={entry} columns={p.columns} href={p.href(entry)} menu={(el) => menuFor(i, el)} />
          ) : (
            <span role="gridcell" class="cell-name">
              <span class="blank" />
            </span>
          )}
        </div>,
      );
    }
  }

  const active = selection.cursor >= first * columns && selection.cursor < Math.min(last * columns, total) ? `entry-${selection.cursor}` : undefined;
  const inside = (
    <div class="canvas" role={mode === "list" ? "rowgroup" : "none"} style={{ height: `${rows * unit}px` }}>
      {items}
    </div>
  );
  const scroller = {
    ref: box,
    tabIndex: 0,
    "aria-label": p.label,
    "aria-multiselectable": true,
    "aria-activedescendant": active,
    onKeyDown: keys,
    onScroll: () => {
      const y = box.current!.scrollTop;
      // Drawn again only when other rows come into sight.
      if (Math.floor(y / unit) !== Math.floor(top / unit)) setTop(y);
    },
  } as const;
  if (mode === "grid")
    return (
      <div {...scroller} class="files files-grid" role="listbox">
        {inside}
      </div>
    );
  return (
    <div {...scroller} class="files files-list" role="grid" aria-rowcount={total + 1}>
      <div class="row head" role="row" aria-rowindex={1}>
        <ColumnHead id="name" label={t("name")} {...(p.sort ? { by: "name" as const, state: p.sort } : {})} />
        {p.columns.map((c) => (
          <ColumnHead key={c.id} id={c.id} label={c.label} {...(p.sort && c.sort ? { by: c.sort, state: p.sort } : {})} />
        ))}
        <span role="columnheader" class="cell-menu">
          <span class="unseen">{t("actions")}</span>
        </span>
      </div>
      {inside}
    </div>
  );
}

function Row({ entry, columns, href, menu }: { entry: Entry; columns: Column[]; href: string | undefined; menu: (at: HTMLElement) => void }) {
  const [first] = columns;
  return (
    <>
      <span role="gridcell" class="cell-name">
        <span class="tick" aria-hidden="true">
          <Icon name="check" size={14} />
        </span>
        <Sheet entry={entry} />
        <span class="name">
          {href ? (
            <a href={href} tabIndex={-1} draggable={false}>
              {entry.filename}
            </a>
          ) : (
            <span>{entry.filename}</span>
          )}
          <small class="under" aria-hidden="true">
            {[first?.cell(entry), entry.is_dir ? "" : size(entry.bytes)].filter((s, i, all) => s && all.indexOf(s) === i).join(" · ")}
          </small>
        </span>
        <LockMark entry={entry} />
      </span>
      {columns.map((c) => (
        <span key={c.id} role="gridcell" class={`cell cell-${c.id}`} title={c.title?.(entry)}>
          {c.cell(entry)}
        </span>
      ))}
      <span role="gridcell" class="cell-menu">
        <IconButton
          icon="more"
          label={t("actionsFor", { name: entry.filename })}
          tabIndex={-1}
          onClick={(e) => {
            e.preventDefault();
            e.stopPropagation();
            menu(e.currentTarget);
          }}
        />
      </span>
    </>
  );
}

export function LockMark({ entry }: { entry: Entry }) {
  if (!entry.locked) return null;
  const text = entry.editing?.length ? t("editingNow", { names: entry.editing.join(", "), n: entry.editing.length }) : t("lockedNow");
  return (
    <span class="lock" title={text}>
      <Icon name="lock" size={14} />
      <span>{text}</span>
    </span>
  );
}

function ColumnHead({ id, label, by, state }: { id: string; label: string; by?: Sort; state?: NonNullable<Props["sort"]> }) {
  if (!by || !state)
    return (
      <span role="columnheader" class={id === "name" ? "cell-name" : `cell cell-${id}`}>
        {label}
      </span>
    );
  const on = state.by === by;
  return (
    <span role="columnheader" class={id === "name" ? "cell-name" : `cell cell-${id}`} aria-sort={on ? (state.descending ? "descending" : "ascending") : "none"}>
      <button type="button" class="sort" onClick={() => state.set(by, on ? !state.descending : by !== "name")}>
        {label}
        {on && <Icon name={state.descending ? "down" : "up"} size={14} />}
      </button>
    </span>
  );
}
