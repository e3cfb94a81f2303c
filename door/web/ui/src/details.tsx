// The panel beside the list: a file's history, and who else can reach it.

import { useEffect, useId, useRef, useState } from "preact/hooks";
import { boot } from "./boot";
import { confirmDialog, mayEdit } from "./actions";
import { get, post, type Access, type Entry, type Person, type Revision, type Sharing } from "./api";
import { Avatar } from "./avatar";
import { doorName } from "./look";
import { shown } from "./files";
import { has, size, t, when, whenExactly } from "./i18n";
import { Icon, Sheet } from "./icons";
import { router } from "./router";
import { Button, complain, dialogs, Dialog, Field, IconButton, Problem, say, Select, useTask } from "./ui";

type Tab = "history" | "sharing";

export function Details({ tab, uid }: { tab: Tab; uid: string }) {
  const [entry, setEntry] = useState<Entry | null>(null);
  const [error, setError] = useState("");
  const panel = useRef<HTMLElement>(null);
  const id = useId();
  useEffect(() => {
    let here = true;
    setError("");
    get<Entry>("content/metadata", { uid }).then(
      (e) => here && setEntry(e),
      (e: Error) => here && setError(e.message),
    );
    return () => {
      here = false;
    };
  }, [uid]);
  useEffect(() => {
    const back = document.activeElement as HTMLElement | null;
    panel.current?.focus();
    return () => back?.focus();
  }, []);
  const close = () => router.set("details", "");
  const e = entry?.uid === uid ? entry : null;
  const tabs: Tab[] = e?.is_dir ? ["sharing"] : ["history", "sharing"];
  return (
    <aside
      class="details"
      ref={panel}
      tabIndex={-1}
      aria-labelledby={id}
      onKeyDown={(ev) => {
        if (ev.key !== "Escape") return;
        ev.stopPropagation();
        close();
      }}
    >
      <header>
        {e && <Sheet entry={e} size={24} />}
        <h2 id={id}>{e ? e.filename || t("files") : t("details")}</h2>
        <IconButton icon="close" label={t("close")} onClick={close} />
      </header>
      {tabs.length > 1 && (
        <div class="tabs" role="tablist" aria-label={t("details")}>
          {tabs.map((x) => (
            <button
              key={x}
              type="button"
              role="tab"
              id={`${id}-${x}`}
              aria-selected={x === tab}
              aria-controls={`${id}-panel`}
              tabIndex={x === tab ? 0 : -1}
              onClick={() => router.set("details", `${x}.${uid}`, true)}
              onKeyDown={(ev) => {
                if (ev.key !== "ArrowLeft" && ev.key !== "ArrowRight") return;
                const other = tabs[(tabs.indexOf(x) + 1) % tabs.length]!;
                router.set("details", `${other}.${uid}`, true);
                document.getElementById(`${id}-${other}`)?.focus();
              }}
            >
              {t(x)}
            </button>
          ))}
        </div>
      )}
      <div class="details-body" id={`${id}-panel`} role={tabs.length > 1 ? "tabpanel" : undefined} aria-labelledby={tabs.length > 1 ? `${id}-${tab}` : undefined} tabIndex={tabs.length > 1 ? 0 : undefined}>
        <Problem text={error} />
        {e && (tab === "history" && !e.is_dir ? <History e={e} /> : <SharingOf e={e} />)}
      </div>
    </aside>
  );
}

function History({ e }: { e: Entry }) {
  const [list, setList] = useState<Revision[] | null>(null);
  const [more, setMore] = useState(false);
  const { error, run } = useTask();
  const load = (before?: number) =>
    run(async () => {
      const got = await get<{ revisions: Revision[] }>("file/revisions", { uid: e.uid, limit: 50, before });
      setList(before ? [...(list ?? []), ...got.revisions] : got.revisions);
      setMore(got.revisions.length === 50);
    });
  useEffect(() => void load(), [e.uid]);
  const current = list?.[0]?.revision;
  const restore = async (r: Revision) => {
    try {
      await post("file/restore", { uid: e.uid, revision: r.revision });
      say(t("revisionRestored", { n: r.revision }));
      void shown.source?.refresh();
      await load();
    } catch (err) {
      complain(err);
    }
  };
  return (
    <>
      <Problem text={error} />
      <ol class="history">
        {list?.map((r) => (
          <li key={r.revision} class={r.revision === current ? "history-now" : ""}>
            <div class="history-head">
              <strong title={whenExactly(r.modified)}>{r.label || whenExactly(r.modified)}</strong>
              {r.revision === current && <span class="badge">{t("current")}</span>}
            </div>
            {r.label && <div class="quiet">{whenExactly(r.modified)}</div>}
            <div class="quiet">
              {[r.names?.join(", ") || t("somebody"), doorName(r.door), size(r.bytes)].join(" · ")}
            </div>
            {(r.kind || r.restores) && <div class="quiet">{r.restores ? t("restoredFrom", { n: r.restores }) : has(`kind.${r.kind}`) ? t(`kind.${r.kind}` as "kind.autosave") : r.kind}</div>}
            <div class="history-tools">
              <Button icon="eye" onClick={() => router.set("preview", `${e.uid}.${r.revision}`)} aria-label={t("previewRevision", { n: r.revision })}>
                {t("preview")}
              </Button>
              <a class="button button-plain" href={`/api/v1/file/get?uid=${e.uid}&revision=${r.revision}`} download={e.filename} aria-label={t("downloadRevision", { n: r.revision })}>
                <Icon name="download" />
              </a>
              {mayEdit(e) && <Button icon="edit" onClick={() => dialogs.show((close) => <LabelDialog e={e} r={r} close={close} saved={() => void load()} />)} aria-label={t("nameRevision", { n: r.revision })} />}
              {mayEdit(e) && r.revision !== current && (
                <Button icon="restore" onClick={() => void restore(r)} aria-label={t("restoreRevision", { n: r.revision })}>
                  {t("restore")}
                </Button>
              )}
            </div>
            {r.revision > 1 && /\.(docx|xlsx|pptx|odt|ods|odp)$/i.test(e.filename) && <Changes e={e} r={r} />}
          </li>
        ))}
      </ol>
      {more && <Button onClick={() => void load(list!.at(-1)!.revision)}>{t("older")}</Button>}
    </>
  );
}

interface Part {
  name: string;
  change: "added" | "changed" | "removed";
}

/** Tells which parts of a document a revision changed, when it is asked. */
function Changes({ e, r }: { e: Entry; r: Revision }) {
  const [parts, setParts] = useState<Part[] | null>(null);
  const { error, run } = useTask();
  return (
    <details
      class="changes"
      onToggle={(ev) => {
        if (ev.currentTarget.open && !parts) void run(async () => setParts((await get<{ parts: Part[] }>("file/changes", { uid: e.uid, revision: r.revision })).parts));
      }}
    >
      <summary>{t("whatChanged", { n: r.revision })}</summary>
      <Problem text={error} />
      {parts && (
        <ul>
          {parts.map((p) => (
            <li key={p.name}>
              <span class="badge">{t(`change.${p.change}` as "change.added")}</span> {p.name}
            </li>
          ))}
          {!parts.length && <li class="quiet">{t("nothingChanged")}</li>}
        </ul>
      )}
    </details>
  );
}

function LabelDialog({ e, r, close, saved }: { e: Entry; r: Revision; close: () => void; saved: () => void }) {
  const [label, setLabel] = useState(r.label ?? "");
  const { busy, error, run } = useTask();
  return (
    <Dialog title={t("nameRevision", { n: r.revision })} onClose={close}>
      <form
        onSubmit={async (ev) => {
          ev.preventDefault();
          if (await run(() => post("file/label", { uid: e.uid, revision: r.revision, label: label.trim() }))) {
            close();
            saved();
          }
        }}
      >
        <Field label={t("name")} hint={t("labelHint")} value={label} maxLength={80} data-first onInput={(ev) => setLabel(ev.currentTarget.value)} />
        <Problem text={error} />
        <footer>
          <Button onClick={close}>{t("cancel")}</Button>
          <Button kind="primary" type="submit" disabled={busy}>
            {t("save")}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

const roles = (most: Access): [string, string][] =>
  (["viewer", "editor", "owner"] as const).filter((a) => a !== "owner" || most === "owner").map((a) => [a, t(`access.${a}`)]);

function SharingOf({ e }: { e: Entry }) {
  const [s, setS] = useState<Sharing | null>(null);
  const { error, run } = useTask();
  const load = () => run(async () => setS(await get<Sharing>("file/sharing", { uid: e.uid })));
  useEffect(() => void load(), [e.uid]);
  const may = mayEdit(e);
  const change = async (user: string, access: Access) => {
    try {
      await post("file/grant", { uid: e.uid, user, access });
      await load();
    } catch (err) {
      complain(err);
    }
  };
  const given = s?.people.filter((p) => p.here) ?? [];
  const above = s?.people.filter((p) => !p.here) ?? [];
  return (
    <div class="sharing">
      <Problem text={error} />
      {may && <AddPerson e={e} saved={() => void load()} />}
      <h3>{t("people")}</h3>
      <ul class="people">
        {given.map((p) => (
          <li key={p.user}>
            <Avatar name={p.name} />
            <span class="people-name">
              {p.name || p.user}
              {p.user === boot.uid && <span class="quiet"> ({t("you")})</span>}
            </span>
            {may && !(p.access === "owner" && e.access !== "owner") ? (
              <>
                <Select hideLabel label={t("accessOf", { name: p.name })} value={p.access} options={roles(e.access)} onPick={(a) => void change(p.user, a as Access)} />
                <IconButton icon="close" size={18} label={t("stopSharing", { name: p.name })} onClick={() => void change(p.user, "none")} />
              </>
            ) : (
              <span class="quiet">{t(`access.${p.access}` as "access.viewer")}</span>
            )}
          </li>
        ))}
        {above.map((p) => (
          <li key={`above-${p.user}`}>
            <Avatar name={p.name} />
            <span class="people-name">
              {p.name || p.user}
              <span class="quiet"> {t("fromAbove")}</span>
            </span>
            <span class="quiet">{t(`access.${p.access}` as "access.viewer")}</span>
          </li>
        ))}
        {s && !s.people.length && <li class="quiet">{t("nobody")}</li>}
      </ul>
      {may && (
        <>
          <h3>{t("links")}</h3>
          <AddLink e={e} saved={() => void load()} />
          <ul class="links">
            {s?.links.map((k) => (
              <li key={k.id}>
                <div class="link-line">
                  <Icon name="link" size={18} />
                  <input readOnly value={k.url} aria-label={t("linkAddress")} onFocus={(ev) => ev.currentTarget.select()} />
                  <IconButton icon="copy" size={18} label={t("copyLink")} onClick={() => void copyText(k.url)} />
                  <IconButton
                    icon="trash"
                    size={18}
                    label={t("endLink")}
                    onClick={() =>
                      confirmDialog(t("endLink"), t("endLinkSure"), t("endLink"), async () => {
                        await post("file/unshare", { id: k.id });
                        await load();
                      })
                    }
                  />
                </div>
                <div class="quiet">
                  {[t(`access.${k.access}` as "access.viewer"), k.password ? t("withPassword") : "", k.expires ? t("until", { when: when(k.expires) }) : t("forever"), k.by ? t("by", { name: k.by }) : ""]
                    .filter(Boolean)
                    .join(" · ")}
                </div>
              </li>
            ))}
          </ul>
        </>
      )}
      {boot.admin && !e.is_dir && <ViewerLink e={e} />}
    </div>
  );
}

/** Makes a signed link to a file, for people without an account. */
function ViewerLink({ e }: { e: Entry }) {
  const [permission, setPermission] = useState("preview");
  const [days, setDays] = useState("7");
  const [url, setURL] = useState("");
  const { busy, error, run } = useTask();
  const mime = { preview: "image/png", print: "application/pdf", download: undefined }[permission];
  return (
    <form
      onSubmit={(ev) => {
        ev.preventDefault();
        void run(async () => setURL((await post<{ url: string }>("file/viewer_link", { path: e.path, permission, mime, expires_in: Number(days) * 86400 })).url));
      }}
    >
      <h3>{t("viewerLink")}</h3>
      <p class="quiet">{t("viewerLinkHint")}</p>
      <Select label={t("viewerMay")} value={permission} options={[["preview", t("may.preview")], ["print", t("may.print")], ["download", t("may.download")]]} onPick={setPermission} />
      <Select label={t("viewerEnds")} value={days} options={[["1", t("days", { n: 1 })], ["7", t("days", { n: 7 })], ["30", t("days", { n: 30 })], ["0", t("never")]]} onPick={setDays} />
      <Problem text={error} />
      <Button type="submit" disabled={busy}>
        {t("create")}
      </Button>
      {url && (
        <div class="secret" role="status">
          <code>{url}</code>
          <Button onClick={() => void copyText(url)}>{t("copyLink")}</Button>
        </div>
      )}
    </form>
  );
}

async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(t("copiedLink"));
  } catch {
    complain(new Error(t("copyFailed")));
  }
}

function AddPerson({ e, saved }: { e: Entry; saved: () => void }) {
  const [text, setText] = useState("");
  const [people, setPeople] = useState<Person[]>([]);
  const [at, setAt] = useState(0);
  const [access, setAccess] = useState<Access>("viewer");
  const { error, run } = useTask();
  const id = useId();
  useEffect(() => {
    const stop = new AbortController();
    if (!text.trim()) {
      setPeople([]);
      return;
    }
    const timer = setTimeout(() => {
      get<{ people: Person[] }>("account/people", { query: text, limit: 8 }, stop.signal).then(
        (r) => (setPeople(r.people), setAt(0)),
        () => {}, // nobody is proposed
      );
    }, 150);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text]);
  const add = (p: Person) =>
    run(async () => {
      await post("file/grant", { uid: e.uid, user: p.uid, access });
      setText("");
      say(t("sharedWith", { name: p.name, file: e.filename || t("files") }));
      saved();
    });
  return (
    <div class="add-person">
      <div class="field">
        <label for={id}>{t("addPerson")}</label>
        <input
          id={id}
          role="combobox"
          aria-expanded={people.length > 0}
          aria-controls={`${id}-list`}
          aria-autocomplete="list"
          aria-activedescendant={people[at] ? `${id}-${at}` : undefined}
          autoComplete="off"
          placeholder={t("nameOrLogin")}
          value={text}
          onInput={(ev) => setText(ev.currentTarget.value)}
          onKeyDown={(ev) => {
            if (ev.key === "ArrowDown") setAt(Math.min(people.length - 1, at + 1));
            else if (ev.key === "ArrowUp") setAt(Math.max(0, at - 1));
            else if (ev.key === "Enter" && people[at]) void add(people[at]);
            else if (ev.key === "Escape" && people.length) {
              ev.stopPropagation();
              return setPeople([]);
            } else return;
            ev.preventDefault();
          }}
        />
        <ul id={`${id}-list`} class="proposals" role="listbox" aria-label={t("people")} hidden={!people.length}>
          {people.map((p, i) => (
            <li key={p.uid} id={`${id}-${i}`} role="option" aria-selected={i === at} onMouseDown={(ev) => (ev.preventDefault(), void add(p))}>
              <Avatar name={p.name} />
              <span>{p.name}</span>
              <span class="quiet">{p.login}</span>
            </li>
          ))}
        </ul>
      </div>
      <Select label={t("access")} value={access} options={roles(e.access)} onPick={(a) => setAccess(a as Access)} />
      <Problem text={error} />
    </div>
  );
}

function AddLink({ e, saved }: { e: Entry; saved: () => void }) {
  const [open, setOpen] = useState(false);
  const [access, setAccess] = useState<Access>("viewer");
  const [days, setDays] = useState("0");
  const [password, setPassword] = useState("");
  const { busy, error, run } = useTask();
  if (!open)
    return (
      <Button icon="link" onClick={() => setOpen(true)}>
        {t("newLink")}
      </Button>
    );
  return (
    <form
      class="card-form"
      onSubmit={async (ev) => {
        ev.preventDefault();
        await run(async () => {
          const k = await post<{ url: string }>("file/shares", { uid: e.uid, access, expires_in: days === "0" ? undefined : Number(days) * 86400, password: password || undefined });
          setOpen(false);
          setPassword("");
          saved();
          await copyText(k.url);
        });
      }}
    >
      <Select label={t("linkAccess")} value={access} options={roles("editor")} onPick={(a) => setAccess(a as Access)} />
      <Select
        label={t("expires")}
        value={days}
        options={[["0", t("never")], ["1", t("days", { n: 1 })], ["7", t("days", { n: 7 })], ["30", t("days", { n: 30 })], ["365", t("days", { n: 365 })]]}
        onPick={setDays}
      />
      <Field label={t("password")} hint={t("linkPasswordHint")} type="password" autoComplete="new-password" value={password} onInput={(ev) => setPassword(ev.currentTarget.value)} />
      <Problem text={error} />
      <footer>
        <Button onClick={() => setOpen(false)}>{t("cancel")}</Button>
        <Button kind="primary" type="submit" disabled={busy}>
          {t("createLink")}
        </Button>
      </footer>
    </form>
  );
}
