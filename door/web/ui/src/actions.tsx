// What can be done with files and folders, and the dialogs that ask for more.

import { useEffect, useState } from "preact/hooks";
import { boot } from "./boot";
import { download, downloadURL, Failure, get, post, type Entry, type Folder } from "./api";
import { extension, Icon, Sheet } from "./icons";
import { t } from "./i18n";
import { router } from "./router";
import { Button, complain, Dialog, dialogs, Field, Problem, say, useTask, type Action } from "./ui";

export const mayEdit = (e: Entry): boolean => e.access === "editor" || e.access === "owner";

/** What the configured editors do with a file. */
export const editorOf = (e: Entry): "edit" | "view" | undefined => (e.is_dir ? undefined : boot.editors[extension(e.filename)]);

const office = new Set("doc docx docm odt rtf xls xlsx xlsm ods ppt pptx pptm odp".split(" "));

export const isOffice = (e: Entry): boolean => !e.is_dir && office.has(extension(e.filename));

/** The file or folder as the addresses of the page show it. */
export const showPreview = (e: Entry): void => router.set("preview", e.uid);
export const showDetails = (e: Entry, tab: "history" | "sharing"): void => router.set("details", `${tab}.${e.uid}`);

export interface Context {
  /** Looks again at what is shown. */
  refresh: () => void;
  chosen: { drop: (uids: Iterable<string>) => void };
}

/** The actions for a selection of files and folders that are where they belong. */
export function fileActions(list: Entry[], context: Context): Action[] {
  const [e] = list;
  if (!e) return [];
  const single = list.length === 1;
  const actions: Action[] = [];
  if (single && !e.is_dir) {
    actions.push({ id: "preview", label: t("preview"), icon: "eye", run: () => showPreview(e) });
    const how = editorOf(e);
    if (how === "edit" && mayEdit(e)) actions.push({ id: "edit", label: t("edit"), icon: "edit", run: () => openEditor(e, "edit") });
    else if (how) actions.push({ id: "edit", label: t("view"), icon: "eye", run: () => openEditor(e, "view") });
    else if (isOffice(e)) actions.push({ id: "edit", label: t("edit"), icon: "edit", run: () => say(t("noEditor")) });
  }
  actions.push({ id: "download", label: t("download"), icon: "download", ...(single && !e.is_dir ? { href: downloadURL(e) } : { run: () => download(list) }) });
  if (single) {
    if (e.access === "owner" || e.access === "editor") actions.push({ id: "share", label: t("share"), icon: "share", run: () => showDetails(e, "sharing") });
    if (!e.is_dir) actions.push({ id: "history", label: t("history"), icon: "history", run: () => showDetails(e, "history") });
    if (mayEdit(e)) actions.push({ id: "rename", label: t("rename"), icon: "edit", keys: "F2", run: () => renameDialog(e, context) });
  }
  if (list.every(mayEdit)) actions.push({ id: "move", label: t("moveTo"), icon: "move", run: () => placeDialog(list, "move", context) });
  actions.push({ id: "copy", label: t("copyTo"), icon: "copy", run: () => placeDialog(list, "copy", context) });
  if (list.every(mayEdit)) actions.push({ id: "delete", label: t("delete"), icon: "trash", danger: true, keys: t("key.delete"), run: () => void remove(list, context) });
  return actions;
}

export function openEditor(e: Entry, how: "edit" | "view"): void {
  const a = document.createElement("a");
  a.href = `/${how}/${e.uid}`;
  a.target = "_blank";
  a.rel = "noopener";
  a.click();
}

/** Does one thing to many, a few at a time, and tells what did not work. */
export async function each(list: Entry[], work: (e: Entry) => Promise<unknown>): Promise<Entry[]> {
  const done: Entry[] = [];
  const failed: unknown[] = [];
  const waiting = [...list];
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      for (let e = waiting.shift(); e; e = waiting.shift()) {
        try {
          await work(e);
          done.push(e);
        } catch (err) {
          failed.push(err instanceof Failure ? new Error(`${e.filename}: ${err.message}`) : err);
        }
      }
    }),
  );
  for (const err of failed.slice(0, 3)) complain(err);
  if (failed.length > 3) complain(t("moreFailed", { n: failed.length - 3 }));
  return done;
}

export async function remove(list: Entry[], context: Context): Promise<void> {
  const gone = await each(list, (e) => post("file/fileops/delete", { uid: e.uid }));
  context.chosen.drop(gone.map((e) => e.uid));
  context.refresh();
  if (!gone.length) return;
  say(gone.length === 1 ? t("deletedOne", { name: gone[0]!.filename }) : t("deletedMany", { n: gone.length }), {
    label: t("undo"),
    run: () => void each(gone, (e) => post("file/untrash", { uid: e.uid })).then(context.refresh),
  });
}

export async function transfer(list: Entry[], how: "move" | "copy", to: Entry, context: Context): Promise<void> {
  const done = await each(list, (e) => post(`file/fileops/${how}`, { uid: e.uid, to_uid: to.uid, to_name: e.filename, autorename: true }));
  if (how === "move") context.chosen.drop(done.map((e) => e.uid));
  context.refresh();
  if (done.length) say(t(how === "move" ? "moved" : "copied", { n: done.length, name: to.filename || t("files") }));
}

export function renameDialog(e: Entry, context: Context): void {
  dialogs.show((close) => (
    <NameDialog
      title={t("rename")}
      label={t("newName")}
      value={e.filename}
      action={t("rename")}
      close={close}
      save={async (name) => {
        await post("file/fileops/move", { uid: e.uid, to_name: name });
        context.refresh();
      }}
    />
  ));
}

export function folderDialog(parent: string, context: Pick<Context, "refresh">): void {
  dialogs.show((close) => (
    <NameDialog
      title={t("newFolder")}
      label={t("name")}
      value=""
      action={t("create")}
      close={close}
      save={async (name) => {
        await post("file/fileops/create_folder", { uid: parent, name });
        context.refresh();
      }}
    />
  ));
}

export function documentDialog(parent: string, type: string, context: Pick<Context, "refresh">): void {
  dialogs.show((close) => (
    <NameDialog
      title={t(`new.${type}` as "new.docx")}
      label={t("name")}
      value={`${t("untitled")}.${type}`}
      action={t("create")}
      close={close}
      save={async (name) => {
        const e = await post<Entry>("file/fileops/create_document", { uid: parent, type, name });
        context.refresh();
        if (editorOf(e) === "edit") openEditor(e, "edit");
        else say(t("created", { name: e.filename }));
      }}
    />
  ));
}

interface NameProps {
  title: string;
  label: string;
  value: string;
  action: string;
  close: () => void;
  save: (name: string) => Promise<void>;
}

function NameDialog({ title, label, value, action, close, save }: NameProps) {
  const [name, setName] = useState(value);
  const { busy, error, run } = useTask();
  return (
    <Dialog title={title} onClose={close}>
      <form
        onSubmit={async (e) => {
          e.preventDefault();
          if (await run(() => save(name.trim()))) close();
        }}
      >
        <Field
          label={label}
          value={name}
          required
          data-first
          spellcheck={false}
          autoComplete="off"
          onInput={(e) => setName(e.currentTarget.value)}
          onFocus={(e) => {
            // The name without its ending, which people seldom change.
            const dot = value.lastIndexOf(".");
            e.currentTarget.setSelectionRange(0, dot > 0 ? dot : value.length);
          }}
        />
        <Problem text={error} />
        <footer>
          <Button onClick={close}>{t("cancel")}</Button>
          <Button kind="primary" type="submit" disabled={busy || !name.trim()}>
            {action}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

export function confirmDialog(title: string, text: string, action: string, work: () => Promise<unknown>): void {
  dialogs.show((close) => <Confirm title={title} text={text} action={action} work={work} close={close} />);
}

function Confirm({ title, text, action, work, close }: { title: string; text: string; action: string; work: () => Promise<unknown>; close: () => void }) {
  const { busy, error, run } = useTask();
  return (
    <Dialog title={title} onClose={close}>
      <p>{text}</p>
      <Problem text={error} />
      <footer>
        <Button onClick={close} data-first>
          {t("cancel")}
        </Button>
        <Button kind="danger" disabled={busy} onClick={async () => (await run(work)) && close()}>
          {action}
        </Button>
      </footer>
    </Dialog>
  );
}

export function placeDialog(list: Entry[], how: "move" | "copy", context: Context): void {
  dialogs.show((close) => <PlaceDialog list={list} how={how} context={context} close={close} />);
}

/** Asks for a folder to move or copy to. */
function PlaceDialog({ list, how, context, close }: { list: Entry[]; how: "move" | "copy"; context: Context; close: () => void }) {
  const [at, setAt] = useState<Folder | null>(null);
  const [above, setAbove] = useState<Entry[]>([]);
  const [uid, setUid] = useState(boot.root);
  const { busy, error, run } = useTask();
  const load = () =>
    run(async () => {
      const [folder, up] = await Promise.all([
        get<Folder>("content/list", { uid, offset: 0, limit: 500 }),
        get<{ entries: Entry[] }>("content/ancestors", { uid }),
      ]);
      setAt(folder);
      setAbove(up.entries);
    });
  useEffect(() => void load(), [uid]);
  const moving = new Set(how === "move" ? list.map((e) => e.uid) : []);
  const folders = (at?.contents ?? []).filter((e) => e.is_dir && !moving.has(e.uid));
  return (
    <Dialog title={t(how === "move" ? "moveTitle" : "copyTitle", { n: list.length, name: list[0]!.filename })} onClose={close}>
      <nav class="crumbs crumbs-small" aria-label={t("path")}>
        {[...above, ...(at ? [at as Entry] : [])].map((e, i) => (
          <span key={e.uid}>
            {i > 0 && <Icon name="right" size={14} />}
            <button type="button" class="crumb" onClick={() => setUid(e.uid)}>
              {e.filename || t("files")}
            </button>
          </span>
        ))}
      </nav>
      <div class="picker" tabIndex={-1} data-first>
        {at && !folders.length && <p class="quiet">{t("noFolders")}</p>}
        {folders.map((e) => (
          <button key={e.uid} type="button" class="picker-row" onClick={() => setUid(e.uid)}>
            <Sheet entry={e} size={22} />
            <span>{e.filename}</span>
            <Icon name="right" size={16} />
          </button>
        ))}
      </div>
      <Problem text={error} />
      <footer>
        <Button onClick={close}>{t("cancel")}</Button>
        <Button
          kind="primary"
          disabled={busy || !at || !mayEdit(at)}
          onClick={async () => {
            if (at && (await run(() => transfer(list, how, at, context)))) close();
          }}
        >
          {t(how === "move" ? "moveHere" : "copyHere")}
        </Button>
      </footer>
    </Dialog>
  );
}
