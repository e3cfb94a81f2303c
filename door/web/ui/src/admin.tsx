// The pages of administrators: users, storage, uploads, what happened.

import { useEffect, useState } from "preact/hooks";
import { boot } from "./boot";
import { get, post } from "./api";
import { TabLinks } from "./account";
import { Clients } from "./clients";
import { Bars, Conversions, Health } from "./engines";
import { doorName, Meter } from "./look";
import { has, size, t, when, whenExactly } from "./i18n";
import { Button, Dialog, dialogs, Field, Problem, say, Select, useTask, useTitle } from "./ui";

export function AdminPage({ tab }: { tab: string }) {
  useTitle(t("administration"));
  return (
    <section class="page page-text">
      <header class="page-head">
        <h1 class="crumb-here">{t("administration")}</h1>
      </header>
      <TabLinks base="/admin" tab={tab} tabs={[["", t("users")], ["storage", t("storage")], ["uploads", t("uploads")], ["conversions", t("conversions")], ["clients", t("clients")], ["audit", t("audit")]]} />
      <div class="page-scroll">{tab === "storage" ? <><Storage /><Health /></> : tab === "uploads" ? <OpenUploads /> : tab === "conversions" ? <Conversions /> : tab === "clients" ? <Clients /> : tab === "audit" ? <Audit /> : <Users />}</div>
    </section>
  );
}

interface Member {
  uid: string;
  login: string;
  name: string;
  email: string;
  role: "member" | "admin";
  disabled: boolean;
  created: number;
}

function Users() {
  const [list, setList] = useState<Member[]>([]);
  const [cursor, setCursor] = useState<string | undefined>();
  const { error, run } = useTask();
  const load = (after?: string) =>
    run(async () => {
      const got = await get<{ users: Member[]; cursor?: string }>("admin/users", { cursor: after });
      setList(after ? [...list, ...got.users] : got.users);
      setCursor(got.cursor);
    });
  useEffect(() => void load(), []);
  const change = async (u: Member, what: Record<string, string | boolean>) => {
    if (await run(() => post("admin/change_user", { uid: u.uid, ...what }))) await load();
  };
  return (
    <div class="panel">
      <div class="panel-head">
        <h2>{t("users")}</h2>
        <Button kind="primary" icon="plus" onClick={() => dialogs.show((close) => <AddUser close={close} saved={() => void load()} />)}>
          {t("addUser")}
        </Button>
      </div>
      <Problem text={error} />
      <div class="table-scroll" tabIndex={0} role="region" aria-label={t("users")}>
        <table>
          <thead>
            <tr>
              <th>{t("displayName")}</th>
              <th>{t("login")}</th>
              <th>{t("role")}</th>
              <th>{t("since")}</th>
              <th>
                <span class="unseen">{t("actions")}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {list.map((u) => (
              <tr key={u.uid} class={u.disabled ? "off" : ""}>
                <td>
                  {u.name}
                  {u.disabled && <span class="badge">{t("disabled")}</span>}
                  {u.email && <div class="quiet">{u.email}</div>}
                </td>
                <td>{u.login}</td>
                <td>
                  <Select
                    hideLabel
                    label={t("roleOf", { name: u.name })}
                    value={u.role}
                    disabled={u.uid === boot.uid}
                    options={[["member", t("role.member")], ["admin", t("role.admin")]]}
                    onPick={(role) => void change(u, { role })}
                  />
                </td>
                <td title={whenExactly(u.created)}>{when(u.created)}</td>
                <td class="cell-tools">
                  <Button onClick={() => dialogs.show((close) => <ResetPassword u={u} close={close} />)}>{t("setPassword")}</Button>
                  {u.uid !== boot.uid && <Button onClick={() => void change(u, { disabled: !u.disabled })}>{t(u.disabled ? "enable" : "disable")}</Button>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {cursor && <Button onClick={() => void load(cursor)}>{t("showMore")}</Button>}
    </div>
  );
}

function AddUser({ close, saved }: { close: () => void; saved: () => void }) {
  const [u, setU] = useState({ login: "", name: "", email: "", password: "", role: "member", access: "editor" });
  const { busy, error, run } = useTask();
  const set = (k: keyof typeof u) => (e: { currentTarget: HTMLInputElement }) => setU({ ...u, [k]: e.currentTarget.value });
  return (
    <Dialog title={t("addUser")} onClose={close}>
      <form
        onSubmit={async (e) => {
          e.preventDefault();
          if (await run(() => post("admin/add_user", u))) {
            say(t("userAdded", { name: u.name || u.login }));
            close();
            saved();
          }
        }}
      >
        <Field label={t("login")} required maxLength={100} data-first autoComplete="off" value={u.login} onInput={set("login")} />
        <Field label={t("displayName")} maxLength={200} autoComplete="off" value={u.name} onInput={set("name")} />
        <Field label={t("email")} type="email" autoComplete="off" value={u.email} onInput={set("email")} />
        <Field label={t("password")} type="password" required minLength={8} autoComplete="new-password" value={u.password} onInput={set("password")} />
        <Select label={t("role")} value={u.role} options={[["member", t("role.member")], ["admin", t("role.admin")]]} onPick={(role) => setU({ ...u, role })} />
        <Select
          label={t("accessAll")}
          value={u.access}
          options={[["none", t("access.none")], ["viewer", t("access.viewer")], ["editor", t("access.editor")], ["owner", t("access.owner")]]}
          onPick={(access) => setU({ ...u, access })}
        />
        <Problem text={error} />
        <footer>
          <Button onClick={close}>{t("cancel")}</Button>
          <Button kind="primary" type="submit" disabled={busy}>
            {t("addUser")}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

function ResetPassword({ u, close }: { u: Member; close: () => void }) {
  const [password, setPassword] = useState("");
  const { busy, error, run } = useTask();
  return (
    <Dialog title={t("setPasswordOf", { name: u.name })} onClose={close}>
      <form
        onSubmit={async (e) => {
          e.preventDefault();
          if (await run(() => post("admin/change_user", { uid: u.uid, password }))) {
            say(t("passwordSet", { name: u.name }));
            close();
          }
        }}
      >
        <Field label={t("newPassword")} type="password" required minLength={8} data-first autoComplete="new-password" value={password} onInput={(e) => setPassword(e.currentTarget.value)} />
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

interface Site {
  id: string;
  account: string;
  instance: string;
  quota: number;
  used: number;
}

function Storage() {
  const [list, setList] = useState<Site[]>([]);
  const [operator, setOperator] = useState(false);
  const { error, run } = useTask();
  const load = () =>
    run(async () => {
      const got = await get<{ sites: Site[]; operator: boolean }>("admin/sites");
      setList(got.sites);
      setOperator(got.operator);
    });
  useEffect(() => void load(), []);
  return (
    <div class="panel">
      <h2>{t("storage")}</h2>
      <Problem text={error} />
      {list.length > 1 && <Bars bytes rows={list.map((s) => [`${s.account}/${s.instance}`, s.used])} />}
      <ul class="rows">
        {list.map((s) => (
          <li key={s.id}>
            <span class="rows-main">
              <strong>
                {s.account}/{s.instance}
              </strong>
              <Meter used={s.used} quota={s.quota} />
            </span>
            {operator && <Button onClick={() => dialogs.show((close) => <Quota s={s} close={close} saved={() => void load()} />)}>{t("setQuota")}</Button>}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Quota({ s, close, saved }: { s: Site; close: () => void; saved: () => void }) {
  const [gb, setGB] = useState(s.quota ? String(s.quota / 1e9) : "");
  const { busy, error, run } = useTask();
  return (
    <Dialog title={t("quotaOf", { name: `${s.account}/${s.instance}` })} onClose={close}>
      <form
        onSubmit={async (e) => {
          e.preventDefault();
          if (await run(() => post("admin/quota", { id: s.id, quota: Math.round(Number(gb || "0") * 1e9) }))) {
            say(t("saved"));
            close();
            saved();
          }
        }}
      >
        <Field label={t("quotaGB")} hint={t("quotaHint")} type="number" min="0" step="any" value={gb} data-first onInput={(e) => setGB(e.currentTarget.value)} />
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

interface OpenUpload {
  id: string;
  user: string;
  name?: string;
  door: string;
  received: number;
  size?: number;
  created: number;
  expires: number;
  complete: boolean;
}

function OpenUploads() {
  const [list, setList] = useState<OpenUpload[] | null>(null);
  const { error, run } = useTask();
  useEffect(() => void run(async () => setList((await get<{ uploads: OpenUpload[] }>("admin/uploads")).uploads)), []);
  return (
    <div class="panel">
      <h2>{t("uploads")}</h2>
      <Problem text={error} />
      <ul class="rows">
        {list?.map((u) => (
          <li key={u.id}>
            <span class="rows-main">
              <strong>{u.name || u.id}</strong>
              <span class="quiet">
                {[u.user, doorName(u.door), t("begun", { when: when(u.created) }), u.complete ? t("complete") : u.size ? `${size(u.received)} / ${size(u.size)}` : size(u.received)].filter(Boolean).join(" · ")}
              </span>
            </span>
          </li>
        ))}
        {list?.length === 0 && <li class="quiet">{t("noUploads")}</li>}
      </ul>
    </div>
  );
}

interface Happening {
  seq: number;
  time: number;
  kind: string;
  name: string;
  path?: string;
  door: string;
  addr?: string;
  detail?: Record<string, unknown>;
}

function Audit() {
  const [list, setList] = useState<Happening[]>([]);
  const [more, setMore] = useState(false);
  const { error, run } = useTask();
  const load = (before?: number) =>
    run(async () => {
      const got = await get<{ events: Happening[]; has_more: boolean }>("admin/events", { limit: 100, before });
      setList(before ? [...list, ...got.events] : got.events);
      setMore(got.has_more);
    });
  useEffect(() => void load(), []);
  return (
    <div class="panel">
      <h2>{t("audit")}</h2>
      <Problem text={error} />
      <Days list={list} />
      <div class="table-scroll" tabIndex={0} role="region" aria-label={t("audit")}>
        <table>
          <thead>
            <tr>
              <th>{t("time")}</th>
              <th>{t("who")}</th>
              <th>{t("what")}</th>
              <th>{t("where")}</th>
              <th>{t("by.door")}</th>
            </tr>
          </thead>
          <tbody>
            {list.map((e) => (
              <tr key={e.seq}>
                <td title={whenExactly(e.time)}>{when(e.time)}</td>
                <td>{e.name}</td>
                <td>{has(`event.${e.kind}`) ? t(`event.${e.kind}` as "event.new") : e.kind}</td>
                <td class="cell-path">
                  {e.path}
                  {e.detail && <div class="quiet">{Object.entries(e.detail).map(([k, v]) => `${k}: ${String(v)}`).join(", ")}</div>}
                </td>
                <td class="quiet">{[doorName(e.door), e.addr].filter(Boolean).join(" · ")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {more && <Button onClick={() => void load(list.at(-1)!.seq)}>{t("older")}</Button>}
    </div>
  );
}

/** How much happened on each of the last days that are in the list, as small bars. */
function Days({ list }: { list: Happening[] }) {
  const counts = new Map<string, number>();
  for (const e of list) {
    const day = new Date(e.time * 1000).toDateString();
    counts.set(day, (counts.get(day) ?? 0) + 1);
  }
  const days = Array.from({ length: 14 }, (_, i) => new Date(Date.now() - (13 - i) * 86400_000));
  const most = Math.max(1, ...counts.values());
  return (
    <svg class="chart" viewBox="0 0 280 60" role="img" aria-label={t("chartDays", { n: list.length })}>
      {days.map((d, i) => {
        const h = ((counts.get(d.toDateString()) ?? 0) / most) * 52;
        return <rect key={i} x={i * 20 + 2} y={58 - Math.max(2, h)} width={16} height={Math.max(2, h)} rx={2} />;
      })}
    </svg>
  );
}
