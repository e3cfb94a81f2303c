// The second factor of the sign-in, and the apps that were let in.

import { useEffect, useState } from "preact/hooks";
import { get, post } from "./api";
import { confirmDialog } from "./actions";
import { t, when, whenExactly } from "./i18n";
import { Button, Field, Problem, say, useTask } from "./ui";

interface Fresh {
  secret: string;
  recovery: string[];
  qr: { path: string; size: number };
}

/** Sets the second factor up, or takes it off. */
export function SecondFactor() {
  const [on, setOn] = useState<{ on: boolean; recovery: number } | null>(null);
  const [fresh, setFresh] = useState<Fresh | null>(null);
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const { busy, error, run } = useTask();
  const load = () => run(async () => setOn(await get("account/factor")));
  useEffect(() => void load(), []);
  const begin = () =>
    run(async () => {
      setFresh(await post<Fresh>("account/begin_factor", { password }));
      setPassword("");
    });
  const confirm = async () => {
    if (!(await run(() => post("account/confirm_factor", { code: code.trim() })))) return;
    setFresh(null);
    setCode("");
    say(t("factorOn"));
    void load();
  };
  const end = async () => {
    if (!(await run(() => post("account/end_factor", { password })))) return;
    setPassword("");
    say(t("factorOff"));
    void load();
  };
  return (
    <form
      class="panel"
      onSubmit={(e) => {
        e.preventDefault();
        void (fresh ? confirm() : on?.on ? end() : begin());
      }}
    >
      <h2>{t("factor")}</h2>
      <p class="quiet">{on?.on ? t("factorIsOn", { n: on.recovery }) : t("factorHint")}</p>
      {fresh ? (
        <>
          <p>{t("factorScan")}</p>
          <svg class="qr" viewBox={`0 0 ${fresh.qr.size} ${fresh.qr.size}`} width="200" height="200" role="img" aria-label={t("factorPicture")}>
            <rect width="100%" height="100%" fill="#fff" />
            <path d={fresh.qr.path} fill="#000" shape-rendering="crispEdges" />
          </svg>
          <p>
            {t("factorSecret")} <code>{fresh.secret}</code>
          </p>
          <div class="secret">
            <p>{t("factorRecovery")}</p>
            <code>{fresh.recovery.join("  ")}</code>
          </div>
          <Field label={t("factorCode")} value={code} required autoComplete="one-time-code" inputMode="numeric" onInput={(e) => setCode(e.currentTarget.value)} />
        </>
      ) : (
        on && <Field label={t("password")} type="password" value={password} required autoComplete="current-password" onInput={(e) => setPassword(e.currentTarget.value)} />
      )}
      <Problem text={error} />
      {on && (
        <footer>
          <Button kind={on.on ? undefined : "primary"} type="submit" disabled={busy}>
            {fresh ? t("factorConfirm") : on.on ? t("factorEnd") : t("factorBegin")}
          </Button>
        </footer>
      )}
    </form>
  );
}

interface App {
  id: string;
  client: string;
  scope: string;
  created: number;
  used: number;
  agent: string;
  addr: string;
}

/** Lists the apps that the user has let in, and ends them. */
export function Apps() {
  const [list, setList] = useState<App[]>([]);
  const { error, run } = useTask();
  const load = () => run(async () => setList((await get<{ apps: App[] }>("account/apps")).apps));
  useEffect(() => void load(), []);
  return (
    <div class="panel">
      <div class="panel-head">
        <h2>{t("apps")}</h2>
        <Button
          onClick={() =>
            confirmDialog(t("signOutEverywhere"), t("signOutEverywhereSure"), t("signOutEverywhere"), async () => {
              await post("account/end_sessions");
              location.reload();
            })
          }
        >
          {t("signOutEverywhere")}
        </Button>
      </div>
      <Problem text={error} />
      <ul class="rows">
        {list.map((a) => (
          <li key={a.id}>
            <span class="rows-main">
              <strong>{a.client}</strong>
              <span class="quiet" title={whenExactly(a.used)}>
                {[a.scope.split(" ").includes("write") ? t("scope.write") : a.scope.split(" ").includes("read") ? t("scope.read") : t("appIdentity"), t("lastUsed", { when: when(a.used) }), a.addr].filter(Boolean).join(" · ")}
              </span>
            </span>
            <Button
              onClick={async () => {
                if (await run(() => post("account/end_app", { id: a.id }))) void load();
              }}
            >
              {t("revoke")}
            </Button>
          </li>
        ))}
        {!list.length && <li class="quiet">{t("noApps")}</li>}
      </ul>
    </div>
  );
}
