import { useEffect, useRef, useState } from "preact/hooks";
import type { FunctionComponent } from "preact";
import { boot } from "./boot";
import { get } from "./api";
import { Avatar } from "./avatar";
import { FolderPage, SearchPage, SharedPage, TrashPage } from "./files";
import { Meter, setTheme } from "./look";
import { t } from "./i18n";
import { Icon, type IconName } from "./icons";
import { Link, router } from "./router";
import { useStore } from "./store";
import { complain, DialogHost, Empty, MenuHost, menus, NoticeHost } from "./ui";
import { UploadPanel } from "./uploads";

/** Parts that are loaded when they are first needed. */
function useLazy<P>(wanted: boolean, load: () => Promise<FunctionComponent<P>>): FunctionComponent<P> | null {
  const [part, setPart] = useState<{ it: FunctionComponent<P> } | null>(null);
  useEffect(() => {
    if (wanted && !part) load().then((it) => setPart({ it }), complain);
  }, [wanted]);
  return part?.it ?? null;
}

export function App() {
  const { path, params } = useStore(router);
  const preview = params.get("preview");
  const details = params.get("details");
  const Preview = useLazy(!!preview, async () => (await import("./preview")).Preview);
  const Details = useLazy(!!details, async () => (await import("./details")).Details);
  const [uid, revision] = (preview ?? "").split(".");
  const [tab, of] = (details ?? "").split(".");

  useEffect(() => {
    const keys = (e: KeyboardEvent) => {
      if (e.key !== "/" || e.ctrlKey || e.metaKey || (e.target as Element).closest("input, textarea, select, dialog")) return;
      e.preventDefault();
      document.querySelector<HTMLInputElement>("#search")?.focus();
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);

  return (
    <>
      <a class="skip" href="#main" onClick={(e) => (e.preventDefault(), document.getElementById("main")?.focus())}>
        {t("skip")}
      </a>
      <TopBar />
      <SideBar path={path} />
      <main id="main" tabIndex={-1}>
        <Page path={path} params={params} />
      </main>
      {details && of && Details && <Details tab={tab === "sharing" ? "sharing" : "history"} uid={of} />}
      {preview && uid && Preview && <Preview uid={uid} revision={revision ? Number(revision) : undefined} />}
      <UploadPanel />
      <DialogHost />
      <MenuHost />
      <NoticeHost />
    </>
  );
}

function Page({ path, params }: { path: string; params: URLSearchParams }) {
  const [, first, second] = path.split("/");
  const Account = useLazy(first === "account", async () => (await import("./account")).AccountPage);
  const Admin = useLazy(first === "admin", async () => (await import("./admin")).AdminPage);
  switch (first) {
    case "files":
      return second || boot.files ? <FolderPage uid={second || boot.root} /> : <SharedPage />;
    case "shared":
      return <SharedPage />;
    case "trash":
      return <TrashPage />;
    case "search":
      return <SearchPage text={params.get("q") ?? ""} />;
    case "account":
      return Account && <Account tab={second ?? ""} />;
    case "admin":
      return boot.admin ? Admin && <Admin tab={second ?? ""} /> : <Empty icon="lock" title={t("adminsOnly")} />;
  }
  return <Empty icon="warning" title={t("noPage")} />;
}

function TopBar() {
  const { path, params } = useStore(router);
  const field = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  useEffect(() => setText(path === "/search" ? (params.get("q") ?? "") : ""), [path]);
  const account = (at: HTMLElement) =>
    menus.show(at, t("account"), [
      { id: "account", label: t("account"), icon: "user", run: () => router.go("/account") },
      ...(boot.admin ? [{ id: "admin", label: t("administration"), icon: "gear" as IconName, run: () => router.go("/admin") }] : []),
      { id: "theme", label: t(dark() ? "theme.light" : "theme.dark"), icon: "sun", run: () => setTheme(dark() ? "light" : "dark") },
      { id: "signout", label: t("signOut"), icon: "lock", href: "/signout" },
    ]);
  return (
    <header class="top">
      <Link to={boot.files ? "/files" : "/shared"} class="brand">
        <img src="/static/icon.svg" alt="" width={30} height={30} />
        <span>Quire</span>
      </Link>
      <form
        class="search"
        role="search"
        onSubmit={(e) => {
          e.preventDefault();
          if (text.trim()) router.go(`/search?q=${encodeURIComponent(text.trim())}`);
          field.current?.blur();
        }}
      >
        <Icon name="search" size={18} />
        <input id="search" ref={field} type="search" value={text} placeholder={t("searchPlaceholder")} aria-label={t("search")} autoComplete="off" enterkeyhint="search" onInput={(e) => setText(e.currentTarget.value)} />
      </form>
      <button type="button" class="me" aria-haspopup="menu" aria-label={t("accountOf", { name: boot.name })} onClick={(e) => account(e.currentTarget)}>
        <Avatar name={boot.name} />
      </button>
    </header>
  );
}

const dark = (): boolean => (boot.theme ? boot.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);

function SideBar({ path }: { path: string }) {
  const [use, setUse] = useState<{ used: number; quota: number } | null>(null);
  useEffect(() => {
    // Not needed to begin with.
    const later = setTimeout(() => get<{ used: number; quota: number }>("account").then(setUse, () => {}), 600);
    return () => clearTimeout(later);
  }, [path]);
  const items: [to: string, label: string, icon: IconName][] = [
    ...(boot.files ? [["/files", t("files"), "folder"] as [string, string, IconName]] : []),
    ["/shared", t("shared"), "people"],
    ["/trash", t("trash"), "trash"],
  ];
  return (
    <nav class="side" aria-label={t("main")}>
      <ul>
        {items.map(([to, label, icon]) => (
          <li key={to}>
            <Link to={to} aria-current={path === to || path.startsWith(`${to}/`) ? "page" : undefined}>
              <Icon name={icon} size={22} />
              <span>{label}</span>
            </Link>
          </li>
        ))}
      </ul>
      <div class="side-foot">{use && <Meter used={use.used} quota={use.quota} />}</div>
    </nav>
  );
}

