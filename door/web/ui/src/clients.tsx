// The apps that people may let in (OAuth clients), for administrators.

import { useEffect, useState } from "preact/hooks";
import { get, post } from "./api";
import { confirmDialog } from "./actions";
import { t } from "./i18n";
import { Button, Field, IconButton, Problem, useTask } from "./ui";

interface Client {
  id: string;
  name: string;
  redirects: string[];
  scope: string;
  public: boolean;
  trusted: boolean;
  secret?: string;
}

export function Clients() {
  const [list, setList] = useState<Client[]>([]);
  const [name, setName] = useState("");
  const [redirect, setRedirect] = useState("");
  const [open, setOpen] = useState(false);
  const [made, setMade] = useState<Client | null>(null);
  const { busy, error, run } = useTask();
  const load = () => run(async () => setList((await get<{ clients: Client[] }>("admin/clients")).clients));
  useEffect(() => void load(), []);
  return (
    <>
      <form
        class="panel"
        onSubmit={async (e) => {
          e.preventDefault();
          const ok = await run(async () => setMade(await post<Client>("admin/add_client", { name: name.trim(), redirect, public: open ? "true" : undefined })));
          if (!ok) return;
          setName("");
          setRedirect("");
          void load();
        }}
      >
        <h2>{t("newClient")}</h2>
        <p class="quiet">{t("clientHint")}</p>
        <Field label={t("clientName")} value={name} required maxLength={100} onInput={(e) => setName(e.currentTarget.value)} />
        <Field label={t("clientRedirect")} value={redirect} required placeholder="https://app.example.org/callback" onInput={(e) => setRedirect(e.currentTarget.value)} />
        <label class="check">
          <input type="checkbox" checked={open} onChange={(e) => setOpen(e.currentTarget.checked)} /> {t("clientPublic")}
        </label>
        <Problem text={error} />
        <footer>
          <Button kind="primary" type="submit" disabled={busy}>
            {t("create")}
          </Button>
        </footer>
        {made && (
          <div class="secret" role="status">
            <p>{made.secret ? t("clientOnce") : t("clientMade")}</p>
            <code>
              {made.id} {made.secret}
            </code>
          </div>
        )}
      </form>
      <div class="panel">
        <h2>{t("clients")}</h2>
        <ul class="rows">
          {list.map((c) => (
            <li key={c.id}>
              <span class="rows-main">
                <strong>{c.name}</strong>
                <span class="quiet">{[c.id, c.redirects.join(" "), c.scope].join(" · ")}</span>
              </span>
              <IconButton
                icon="trash"
                label={t("removeClient", { name: c.name })}
                onClick={() =>
                  confirmDialog(t("removeClient", { name: c.name }), t("removeClientSure"), t("remove"), async () => {
                    await post("admin/remove_client", { id: c.id });
                    void load();
                  })
                }
              />
            </li>
          ))}
          {!list.length && <li class="quiet">{t("noClients")}</li>}
        </ul>
      </div>
    </>
  );
}
