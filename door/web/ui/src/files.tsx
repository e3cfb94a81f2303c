// A folder, and the other lists of files: shared, found, deleted.

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { boot } from "./boot";
import { confirmDialog, documentDialog, each, fileActions, folderDialog, mayEdit, remove, showPreview, transfer, type Context } from "./actions";
import { get, post, type Entry, type Sort } from "./api";
import { DRAG, FileView, modifiedColumn, sizeColumn, type Column, type Mode } from "./fileview";
import { t, when, whenExactly } from "./i18n";
import { Icon } from "./icons";
import { FolderSource, ListSource, Selection, type Source } from "./listing";
import { folderPath, Link, router } from "./router";
import { useStore } from "./store";
import { Button, complain, Empty, IconButton, menus, notices, say, useTitle, type Action } from "./ui";
import { uploads } from "./uploads";

/** A choice that this browser remembers. */
function usePreference<T extends string>(name: string, byDefault: T, allowed: readonly T[]): [T, (v: T) => void] {
  const [value, set] = useState<T>(() => {
    const v = localStorage.getItem(`quire.${name}`) as T | null;
    return v && allowed.includes(v) ? v : byDefault;
  });
  return [
    value,
    (v: T) => {
      localStorage.setItem(`quire.${name}`, v);
      set(v);
    },
  ];
}

/** Keeps a list as it is on the server while somebody looks at it. */
function useLive(source: Source, selection: Selection): void {
  useEffect(() => {
    const look = () => {
      if (document.visibilityState === "visible") void source.refresh();
    };
    const timer = setInterval(look, 4000);
    addEventListener("focus", look);
    const un = source.subscribe(() => selection.renew());
    const off = uploads.onLanded(look);
    return () => {
      clearInterval(timer);
      removeEventListener("focus", look);
      un();
      off();
      source.close();
    };
  }, [source, selection]);
}

const hrefOf = (e: Entry): string => {
  if (e.is_dir) return folderPath(e.uid, boot.root);
  const q = new URLSearchParams(location.search);
  q.set("preview", e.uid);
  return `${location.pathname}?${q}`;
};

export const openEntry = (e: Entry): void => (e.is_dir ? router.go(folderPath(e.uid, boot.root)) : showPreview(e));

/** What the preview steps through. */
export const shown: { source: Source | null } = { source: null };

export function FolderPage({ uid }: { uid: string }) {
  const [mode, setMode] = usePreference<Mode>("mode", "list", ["list", "grid"]);
  const [sort, setSort] = usePreference<Sort>("sort", "name", ["name", "size", "modified"]);
  const [order, setOrder] = usePreference("order", "up", ["up", "down"]);
  const source = useMemo(() => new FolderSource(uid, sort, order === "down"), [uid, sort, order]);
  const selection = useMemo(() => new Selection(source), [source]);
  const [above, setAbove] = useState<Entry[]>([]);
  const [over, setOver] = useState(false);
  useStore(source);
  useLive(source, selection);
  shown.source = source;
  const folder = source.folder;
  const name = uid === boot.root ? t("files") : (folder?.filename ?? "");
  useTitle(name);

  useEffect(() => {
    let here = true;
    setAbove([]);
    if (uid !== boot.root)
      get<{ entries: Entry[] }>("content/ancestors", { uid }).then(
        (r) => here && setAbove(r.entries),
        () => {}, // the list itself says what is wrong
      );
    return () => {
      here = false;
    };
  }, [uid, folder?.path]);

  const context: Context = { refresh: () => void source.refresh(), chosen: selection };
  const editable = !!folder && mayEdit(folder);

  useEffect(() => {
    const paste = (e: ClipboardEvent) => {
      if (!editable || !e.clipboardData?.files.length || (e.target as Element).closest("input, textarea")) return;
      e.preventDefault();
      uploads.add(folder!, [...e.clipboardData.files].map((file) => ({ file, path: pastedName(file) })));
    };
    addEventListener("paste", paste);
    return () => removeEventListener("paste", paste);
  }, [folder, editable]);

  const drop = {
    onDragOver: (e: DragEvent) => {
      if (!editable || !e.dataTransfer?.types.includes("Files")) return;
      e.preventDefault();
      setOver(true);
    },
    onDragLeave: (e: DragEvent) => {
      if (!(e.currentTarget as Element).contains(e.relatedTarget as Node | null)) setOver(false);
    },
    onDrop: (e: DragEvent) => {
      setOver(false);
      if (!editable || !e.dataTransfer?.types.includes("Files")) return;
      e.preventDefault();
      void uploads.addDropped(folder!, e.dataTransfer);
    },
  };

  const moveTo = (list: Entry[], to: Entry) => void transfer(list, "move", to, context);

  return (
    <section class={`page ${over ? "page-over" : ""}`} {...drop}>
      <header class="page-head">
        <Crumbs
          above={above}
          here={name}
          drop={(uids, to) => moveTo(selection.entries.filter((e) => uids.includes(e.uid)), to)}
        />
        <div class="page-tools">
          {editable && <NewButton parent={folder!} context={context} />}
          <ViewTools mode={mode} setMode={setMode} sort={sort} order={order} setSort={(by, down) => (setSort(by), setOrder(down ? "down" : "up"))} />
        </div>
      </header>
      <SelectionBar selection={selection} actions={(list) => fileActions(list, context)} total={source.total} />
      {source.error ? (
        <Empty icon="warning" title={source.error.message}>
          <Link to="/files">{t("backToFiles")}</Link>
        </Empty>
      ) : (
        <>
          <FileView
            label={name || t("files")}
            source={source}
            selection={selection}
            mode={mode}
            columns={[modifiedColumn, sizeColumn]}
            sort={{ by: sort, descending: order === "down", set: (by, down) => (setSort(by), setOrder(down ? "down" : "up")) }}
            href={hrefOf}
            open={openEntry}
            actions={(list) => fileActions(list, context)}
            onDropEntries={editable ? moveTo : undefined!}
            onDropFiles={(items, to) => void uploads.addDropped(to, items)}
            onKey={(e) => {
              if (e.key !== "Backspace") return false;
              const up = above.at(-1);
              if (up) router.go(folderPath(up.uid, boot.root));
              return true;
            }}
          />
          {source.total === 0 && (
            <Empty icon="folder" title={t("emptyFolder")}>
              {editable && t("emptyFolderHint")}
            </Empty>
          )}
        </>
      )}
      {over && (
        <div class="drop-hint" aria-hidden="true">
          <Icon name="upload" size={32} />
          <span>{t("dropHere", { name })}</span>
        </div>
      )}
    </section>
  );
}

/** Pasted pictures are all called image.png: the time tells them apart. */
function pastedName(file: File): string {
  if (file.name !== "image.png") return file.name;
  const stamp = new Date().toISOString().slice(0, 19).replace("T", " ").replaceAll(":", ".");
  return `${t("pasted")} ${stamp}.png`;
}

export function Crumbs({ above, here, drop }: { above: Entry[]; here: string; drop?: (uids: string[], to: Entry) => void }) {
  const [target, setTarget] = useState("");
  return (
    <nav class="crumbs" aria-label={t("path")}>
      {above.map((e) => (
        <span key={e.uid}>
          <Link
            to={folderPath(e.uid, boot.root)}
            class={`crumb ${target === e.uid ? "target" : ""}`}
            onDragOver={(ev: DragEvent) => {
              if (!drop || !ev.dataTransfer?.types.includes(DRAG)) return;
              ev.preventDefault();
              setTarget(e.uid);
            }}
            onDragLeave={() => setTarget("")}
            onDrop={(ev: DragEvent) => {
              ev.preventDefault();
              setTarget("");
              drop?.(JSON.parse(ev.dataTransfer!.getData(DRAG)) as string[], e);
            }}
          >
            {e.filename || t("files")}
          </Link>
          <Icon name="right" size={16} />
        </span>
      ))}
      <h1 class="crumb-here">{here}</h1>
    </nav>
  );
}

function NewButton({ parent, context }: { parent: Entry; context: Context }) {
  const files = useRef<HTMLInputElement>(null);
  const folders = useRef<HTMLInputElement>(null);
  const picked = (input: HTMLInputElement) => {
    uploads.add(
      parent,
      [...(input.files ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name })),
    );
    input.value = "";
  };
  const actions: Action[] = [
    { id: "folder", label: t("newFolder"), icon: "folder", run: () => folderDialog(parent.uid, context) },
    ...boot.documents
      .toSorted((a, b) => documentOrder.indexOf(a) - documentOrder.indexOf(b))
      .map((type): Action => ({ id: type, label: t(`new.${type}` as "new.docx"), icon: "document", keys: `.${type}`, run: () => documentDialog(parent.uid, type, context) })),
    { id: "upload", label: t("uploadFiles"), icon: "upload", run: () => files.current!.click() },
    { id: "upload-folder", label: t("uploadFolder"), icon: "upload", run: () => folders.current!.click() },
  ];
  return (
    <>
      <Button kind="primary" icon="plus" class="new-button" aria-haspopup="menu" onClick={(e) => menus.show(e.currentTarget, t("new"), actions)}>
        {t("new")}
      </Button>
      <input ref={files} type="file" multiple hidden data-upload="files" onChange={(e) => picked(e.currentTarget)} />
      <input ref={folders} type="file" multiple hidden data-upload="folder" {...{ webkitdirectory: true }} onChange={(e) => picked(e.currentTarget)} />
    </>
  );
}

const documentOrder = ["docx", "xlsx", "pptx", "odt", "ods", "odp"];

interface ViewToolsProps {
  mode: Mode;
  setMode: (m: Mode) => void;
  sort?: Sort;
  order?: string;
  setSort?: (by: Sort, down: boolean) => void;
}

function ViewTools({ mode, setMode, sort, order, setSort }: ViewToolsProps) {
  return (
    <div class="view-tools">
      {setSort && (
        <button
          type="button"
          class="button button-plain sort-button"
          aria-label={`${t("sort")}: ${t(sort!)}`}
          aria-haspopup="menu"
          onClick={(e) =>
            menus.show(
              e.currentTarget,
              t("sort"),
              (["name", "modified", "size"] as const).map((by) => ({
                id: by,
                label: t(by),
                icon: by === sort ? (order === "down" ? "down" : "up") : "list",
                run: () => setSort(by, by === sort ? order !== "down" : by !== "name"),
              })),
            )
          }
        >
          <Icon name={order === "down" ? "down" : "up"} size={18} />
          <span>{t(sort!)}</span>
        </button>
      )}
      <div class="switch" role="group" aria-label={t("layout")}>
        <IconButton icon="list" label={t("asList")} aria-pressed={mode === "list"} onClick={() => setMode("list")} />
        <IconButton icon="grid" label={t("asGrid")} aria-pressed={mode === "grid"} onClick={() => setMode("grid")} />
      </div>
    </div>
  );
}

/** What can be done with the selection. It takes the place of nothing, so nothing jumps. */
function SelectionBar({ selection, actions, total }: { selection: Selection; actions: (list: Entry[]) => Action[]; total: number }) {
  useStore(selection);
  const n = selection.chosen.size;
  const list = selection.entries;
  const can = n ? actions(list) : [];
  const up = can.filter((a) => ["download", "share", "move", "copy", "delete", "restore", "purge"].includes(a.id));
  return (
    <div class={`selection ${n ? "selection-on" : ""}`} role="toolbar" aria-label={t("selection")}>
      {n > 0 ? (
        <>
          <IconButton icon="close" label={t("clearSelection")} onClick={() => selection.clear()} />
          <strong role="status">{t("chosen", { n })}</strong>
          <div class="selection-actions">
            {up.map((a) => (
              <button
                key={a.id}
                type="button"
                class={`button button-plain ${a.danger ? "danger" : ""}`}
                data-action={a.id}
                onClick={() => (a.href ? location.assign(a.href) : a.run?.())}
              >
                <Icon name={a.icon} size={18} />
                <span>{a.label}</span>
              </button>
            ))}
            {can.length > up.length && <IconButton icon="more" label={t("moreActions")} aria-haspopup="menu" onClick={(e) => menus.show(e.currentTarget, t("moreActions"), can)} />}
          </div>
        </>
      ) : (
        <span class="quiet count" role="status">
          {total >= 0 ? t("count", { n: total }) : ""}
        </span>
      )}
    </div>
  );
}

interface ListPageProps {
  title: string;
  load: () => Promise<Entry[]>;
  version?: string;
  columns: Column[];
  actions: (list: Entry[], context: Context) => Action[];
  open?: (e: Entry) => void;
  href?: (e: Entry) => string | undefined;
  empty: ComponentChildren;
  tools?: (context: Context, source: Source) => ComponentChildren;
  live?: boolean;
}

/** A list that is no folder. */
function ListPage({ title, load, version = "", columns, actions, open = openEntry, href = hrefOf, empty, tools }: ListPageProps) {
  const [mode, setMode] = usePreference<Mode>("mode", "list", ["list", "grid"]);
  const source = useMemo(() => new ListSource(load), [version]);
  const selection = useMemo(() => new Selection(source), [source]);
  useStore(source);
  useLive(source, selection);
  shown.source = source;
  useTitle(title);
  const context: Context = { refresh: () => void source.refresh(), chosen: selection };
  return (
    <section class="page">
      <header class="page-head">
        <Crumbs above={[]} here={title} />
        <div class="page-tools">
          {tools?.(context, source)}
          <ViewTools mode={mode} setMode={setMode} />
        </div>
      </header>
      <SelectionBar selection={selection} actions={(list) => actions(list, context)} total={source.total} />
      {source.error ? (
        <Empty icon="warning" title={source.error.message} />
      ) : (
        <>
          <FileView label={title} source={source} selection={selection} mode={mode} columns={columns} href={href} open={open} actions={(list) => actions(list, context)} />
          {source.total === 0 && empty}
        </>
      )}
    </section>
  );
}

const placeColumn: Column = {
  id: "place",
  label: t("place"),
  cell: (e) => e.path.slice(0, Math.max(1, e.path.lastIndexOf("/"))).replace(/^\//, `${t("files")}/`).replace(/\/$/, ""),
  title: (e) => e.path,
};

export function SharedPage() {
  return (
    <ListPage
      title={t("shared")}
      load={async () => (await get<{ entries: Entry[] }>("content/shared")).entries.filter((e) => e.uid !== boot.root)}
      columns={[modifiedColumn, { id: "access", label: t("access"), cell: (e) => t(`access.${e.access}` as "access.viewer") }, sizeColumn]}
      actions={fileActions}
      empty={
        <Empty icon="people" title={t("nothingShared")}>
          {t("nothingSharedHint")}
        </Empty>
      }
    />
  );
}

export function SearchPage({ text }: { text: string }) {
  const load = async () => {
    if (!text) return [];
    const found: Entry[] = [];
    let cursor: string | undefined;
    do {
      const page = await get<{ entries: Entry[]; cursor?: string; has_more: boolean }>("content/search", { query: text, limit: 500, cursor });
      found.push(...page.entries);
      cursor = page.has_more ? page.cursor : undefined;
    } while (cursor && found.length < 2000);
    return found;
  };
  return (
    <ListPage
      title={text ? t("searchFor", { text }) : t("search")}
      load={load}
      version={text}
      columns={[placeColumn, modifiedColumn, sizeColumn]}
      actions={(list, context) => {
        const [e] = list;
        const more: Action[] = list.length === 1 && e ? [{ id: "show", label: t("showInFolder"), icon: "folder", run: () => void showInFolder(e) }] : [];
        return [...more, ...fileActions(list, context)];
      }}
      empty={<Empty icon="search" title={text ? t("nothingFound") : t("searchHint")} />}
    />
  );
}

async function showInFolder(e: Entry): Promise<void> {
  try {
    const up = await get<{ entries: Entry[] }>("content/ancestors", { uid: e.uid });
    const parent = up.entries.at(-1);
    if (parent) router.go(folderPath(parent.uid, boot.root));
  } catch (err) {
    complain(err);
  }
}

export function TrashPage() {
  const load = async () => {
    const list: Entry[] = [];
    let cursor: string | undefined;
    do {
      const page = await get<{ contents: Entry[]; cursor?: string; has_more: boolean }>("file/trash", { limit: 5000, cursor });
      list.push(...page.contents);
      cursor = page.has_more ? page.cursor : undefined;
    } while (cursor && list.length < 100_000);
    return list.sort((a, b) => b.deleted! - a.deleted!);
  };
  const restore = async (list: Entry[], context: Context) => {
    const back = await each(list, (e) => post("file/untrash", { uid: e.uid }));
    context.chosen.drop(back.map((e) => e.uid));
    context.refresh();
    if (back.length) say(t("restored", { n: back.length, name: back[0]!.filename }));
  };
  const actions = (list: Entry[], context: Context): Action[] => [
    { id: "restore", label: t("restore"), icon: "restore", run: () => void restore(list, context) },
    {
      id: "purge",
      label: t("purge"),
      icon: "trash",
      danger: true,
      run: () =>
        confirmDialog(t("purge"), t("purgeSure", { n: list.length, name: list[0]!.filename }), t("purge"), async () => {
          const gone = await each(list, (e) => post("file/purge", { uid: e.uid }));
          context.chosen.drop(gone.map((e) => e.uid));
          context.refresh();
        }),
    },
  ];
  return (
    <ListPage
      title={t("trash")}
      load={load}
      columns={[{ id: "modified", label: t("deletedAt"), cell: (e) => when(e.deleted!), title: (e) => whenExactly(e.deleted!) }, sizeColumn]}
      actions={actions}
      href={() => undefined}
      open={(e) => notices.say(t("inTrash", { name: e.filename }))}
      empty={
        <Empty icon="trash" title={t("emptyTrash")}>
          {t("emptyTrashHint")}
        </Empty>
      }
      tools={(context, source) =>
        source.total > 0 && (
          <Button
            icon="trash"
            kind="plain"
            onClick={() =>
              confirmDialog(t("emptyTheTrash"), t("emptyTrashSure"), t("emptyTheTrash"), async () => {
                await post("file/empty_trash");
                context.refresh();
              })
            }
          >
            {t("emptyTheTrash")}
          </Button>
        )
      }
    />
  );
}

export { remove };
