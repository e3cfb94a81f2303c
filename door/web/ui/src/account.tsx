// The pages about who is signed in: profile, password, sessions, tokens.

import { useEffect, useState } from "preact/hooks";
import { boot, remember } from "./boot";
import { Meter, setTheme } from "./look";
import { confirmDialog } from "./actions";
import { get, post } from "./api";
import { language, languages, t, when, whenExactly } from "./i18n";
import { Apps, SecondFactor } from "./factor";
import { Link } from "./router";
import { Button, Field, IconButton, Problem, say, Select, useTask, useTitle } from "./ui";

interface Account {
  login: string;
  name: string;
  email: string;
  role: string;
  quota: number;
  used: number;
}

export function AccountPage({ tab }: { tab: string }) {
  useTitle(t("account"));
  const tabs: [string, string][] = [["", t("profile")], ["security", t("security")], ["tokens", t("tokens")]];
  return (
    <section class="page page-text">
      <header class="page-head">
        <h1 class="crumb-here">{t("account")}</h1>
      </header>
      <TabLinks base="/account" tab={tab} tabs={tabs} />
      <div class="page-scroll">{tab === "security" ? <Security /> : tab === "tokens" ? <Tokens /> : <Profile />}</div>
    </section>
  );
}

export function TabLinks({ base, tab, tabs }: { base: string; tab: string; tabs: [string, string][] }) {
  return (
    <nav class="tabs" aria-label={t("sections")}>
      {tabs.map(([id, label]) => (
        <Link key={id} to={id ? `${base}/${id}` : base} aria-current={id === tab ? "page" : undefined}>
          {label}
        </Link>
      ))}
    </nav>
  );
}

function Profile() {
  const [me, setMe] = useState<Account | null>(null);
  const load = useTask();
  const { busy, error, run } = useTask();
  useEffect(() => void load.run(async () => setMe(await get<Account>("account"))), []);
  return (
    <>
      <Problem text={load.error} />
      {me && (
        <form
          class="panel"
          onSubmit={async (e) => {
            e.preventDefault();
            if (await run(() => post("account/profile", { name: me.name.trim(), email: me.email.trim() }))) say(t("saved"));
          }}
        >
          <h2>{t("profile")}</h2>
          <Field label={t("login")} value={me.login} readOnly />
          <Field label={t("displayName")} value={me.name} required maxLength={200} autoComplete="name" onInput={(e) => setMe({ ...me, name: e.currentTarget.value })} />
          <Field label={t("email")} type="email" value={me.email} autoComplete="email" onInput={(e) => setMe({ ...me, email: e.currentTarget.value })} />
          <Problem text={error} />
          <footer>
            <Button kind="primary" type="submit" disabled={busy}>
              {t("save")}
            </Button>
          </footer>
        </form>
      )}
      <div class="panel">
        <h2>{t("appearance")}</h2>
        <Select
          label={t("language")}
          value={language}
          options={Object.entries(languages)}
          onPick={(v) => {
            remember("quire-language", v);
            location.reload();
          }}
        />
        <Select
          label={t("theme")}
          value={boot.theme}
          options={[["", t("theme.system")], ["light", t("theme.light")], ["dark", t("theme.dark")]]}
          onPick={setTheme}
        />
      </div>
      {me && (
        <div class="panel">
          <h2>{t("storage")}</h2>
          <Meter used={me.used} quota={me.quota} />
        </div>
      )}
    </>
  );
}

interface Session {
  id: string;
  created: number;
  used: number;
  agent: string;
  addr: string;
  this: boolean;
}

function Security() {
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  const [again, setAgain] = useState("");
  const [list, setList] = useState<Session[]>([]);
  const { busy, error, run } = useTask();
  const sessions = useTask();
  const load = () => sessions.run(async () => setList((await get<{ sessions: Session[] }>("account/sessions")).sessions));
  useEffect(() => void load(), []);
  return (
    <>
      <form
        class="panel"
        onSubmit={async (e) => {
          e.preventDefault();
          const ok = await run(async () => {
            if (fresh !== again) throw new Error(t("passwordsDiffer"));
            await post("account/password", { old, new: fresh });
          });
          if (!ok) return;
          say(t("passwordChanged"));
          setOld("");
          setFresh("");
          setAgain("");
          void load();
        }}
      >
        <h2>{t("changePassword")}</h2>
        <input type="text" hidden autoComplete="username" value={boot.name} readOnly />
        <Field label={t("oldPassword")} type="password" required autoComplete="current-password" value={old} onInput={(e) => setOld(e.currentTarget.value)} />
        <Field label={t("newPassword")} type="password" required minLength={8} autoComplete="new-password" value={fresh} onInput={(e) => setFresh(e.currentTarget.value)} />
        <Field label={t("newPasswordAgain")} type="password" required autoComplete="new-password" value={again} onInput={(e) => setAgain(e.currentTarget.value)} />
        <Problem text={error} />
        <footer>
          <Button kind="primary" type="submit" disabled={busy}>
            {t("changePassword")}
          </Button>
        </footer>
      </form>
      <div class="panel">
        <h2>{t("sessions")}</h2>
        <Problem text={sessions.error} />
        <ul class="rows">
          {list.map((s) => (
            <li key={s.id}>
              <span class="rows-main">
                <strong>{agentName(s.agent)}</strong>
                {s.this && <span class="badge">{t("thisBrowser")}</span>}
                <span class="quiet" title={whenExactly(s.used)}>
                  {[s.addr, t("signedInSince", { when: when(s.created) })].filter(Boolean).join(" · ")}
                </span>
              </span>
              {!s.this && (
                <Button
                  onClick={async () => {
                    if (await sessions.run(() => post("account/end_session", { id: s.id }))) void load();
                  }}
                >
                  {t("signOut")}
                </Button>
              )}
            </li>
          ))}
        </ul>
      </div>
      <SecondFactor />
      <Apps />
    </>
  );
}

function agentName(agent: string): string {
  const browser = /Edg\//.test(agent) ? "Edge" : /Firefox\//.test(agent) ? "Firefox" : /Chrom(e|ium)\//.test(agent) ? "Chrome" : /Safari\//.test(agent) ? "Safari" : agent.slice(0, 40) || "?";
  const system = /Windows/.test(agent) ? "Windows" : /Android/.test(agent) ? "Android" : /iPhone|iPad/.test(agent) ? "iOS" : /Mac OS/.test(agent) ? "macOS" : /Linux/.test(agent) ? "Linux" : "";
  return system ? `${browser}, ${system}` : browser;
}

interface Token {
  id: string;
  label: string;
  scope: string;
  created: number;
  used?: number;
  expires?: number;
  token?: string;
}

function Tokens() {
  const [list, setList] = useState<Token[]>([]);
  const [label, setLabel] = useState("");
  const [scope, setScope] = useState("write");
  const [days, setDays] = useState("90");
  const [made, setMade] = useState<Token | null>(null);
  const { busy, error, run } = useTask();
  const load = () => run(async () => setList((await get<{ tokens: Token[] }>("account/tokens")).tokens));
  useEffect(() => void load(), []);
  return (
    <>
      <form
        class="panel"
        onSubmit={async (e) => {
          e.preventDefault();
          const ok = await run(async () => {
            setMade(await post<Token>("account/create_token", { label: label.trim(), scope, expires_in: days === "0" ? undefined : Number(days) * 86400 }));
          });
          if (!ok) return;
          setLabel("");
          void load();
        }}
      >
        <h2>{t("newToken")}</h2>
        <p class="quiet">{t("tokenHint")}</p>
        <Field label={t("tokenLabel")} value={label} required maxLength={100} placeholder={t("tokenLabelExample")} onInput={(e) => setLabel(e.currentTarget.value)} />
        <Select
          label={t("tokenScope")}
          value={scope}
          options={[["read", t("scope.read")], ["write", t("scope.write")], ...(boot.admin ? [["admin", t("scope.admin")] as [string, string]] : [])]}
          onPick={setScope}
        />
        <Select label={t("expires")} value={days} options={[["30", t("days", { n: 30 })], ["90", t("days", { n: 90 })], ["365", t("days", { n: 365 })], ["0", t("never")]]} onPick={setDays} />
        <Problem text={error} />
        <footer>
          <Button kind="primary" type="submit" disabled={busy}>
            {t("create")}
          </Button>
        </footer>
        {made?.token && (
          <div class="secret" role="status">
            <p>{t("tokenOnce")}</p>
            <code>{made.token}</code>
          </div>
        )}
      </form>
      <div class="panel">
        <h2>{t("tokens")}</h2>
        <ul class="rows">
          {list.map((k) => (
            <li key={k.id}>
              <span class="rows-main">
                <strong>{k.label || k.id}</strong>
                <span class="quiet">
                  {[t(`scope.${k.scope}` as "scope.read"), k.used ? t("lastUsed", { when: when(k.used) }) : t("neverUsed"), k.expires ? t("until", { when: when(k.expires) }) : t("forever")].join(" · ")}
                </span>
              </span>
              <IconButton
                icon="trash"
                label={t("revokeToken", { name: k.label || k.id })}
                onClick={() =>
                  confirmDialog(t("revoke"), t("revokeSure", { name: k.label || k.id }), t("revoke"), async () => {
                    await post("account/revoke_token", { id: k.id });
                    void load();
                  })
                }
              />
            </li>
          ))}
          {!list.length && <li class="quiet">{t("noTokens")}</li>}
        </ul>
      </div>
    </>
  );
}
