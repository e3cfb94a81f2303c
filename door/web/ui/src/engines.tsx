// What converts files, what was converted lately, and what the server keeps, for
// administrators.

import { useEffect, useState } from "preact/hooks";
import { get } from "./api";
import { boot } from "./boot";
import { size, t, when, whenExactly } from "./i18n";
import { Problem, useTask } from "./ui";

interface Engine {
  engine: string;
  ok: boolean;
  error?: string;
  serves: string[];
}

interface Job {
  job: string;
  status: string;
  location: string;
  created: number;
  renditions: { target: string; status: string; error?: string; bytes?: number }[];
}

export function Conversions() {
  const [engines, setEngines] = useState<Engine[]>([]);
  const [jobs, setJobs] = useState<Job[]>([]);
  const { error, run } = useTask();
  useEffect(
    () =>
      void run(async () => {
        setEngines((await get<{ engines: Engine[] }>("admin/engines")).engines);
        setJobs((await get<{ jobs: Job[] }>("admin/jobs")).jobs);
      }),
    [],
  );
  const count = (s: string) => jobs.filter((j) => j.status === s).length;
  return (
    <>
      <Problem text={error} />
      <div class="panel">
        <h2>{t("engines")}</h2>
        <ul class="rows">
          {engines.map((e) => (
            <li key={e.engine}>
              <span class="rows-main">
                <strong>{e.engine}</strong> <span class="badge">{e.ok ? t("works") : t("fails")}</span>
                <span class="quiet">{e.error || t("servesPairs", { n: e.serves.length })}</span>
              </span>
            </li>
          ))}
        </ul>
      </div>
      <Editors />
      <div class="panel">
        <h2>{t("jobs")}</h2>
        <Bars rows={["done", "running", "waiting", "failed"].map((s) => [t(`job.${s}` as "job.done"), count(s)])} />
        <div class="table-scroll" tabIndex={0} role="region" aria-label={t("jobs")}>
          <table>
            <thead>
              <tr>
                <th>{t("file")}</th>
                <th>{t("into")}</th>
                <th>{t("state")}</th>
                <th>{t("since")}</th>
              </tr>
            </thead>
            <tbody>
              {jobs.map((j) => (
                <tr key={j.job}>
                  <td>{j.location}</td>
                  <td>{j.renditions.map((r) => r.target).join(", ")}</td>
                  <td>
                    {t(`job.${j.status}` as "job.done")}
                    <div class="quiet">{j.renditions.map((r) => r.error).filter(Boolean).join(" ")}</div>
                  </td>
                  <td title={whenExactly(j.created)}>{when(j.created)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </div>
    </>
  );
}

/** What the editors that the operator has named do with which files. */
export function Editors() {
  const of = (kind: string) => Object.entries(boot.editors).filter(([, k]) => k === kind).map(([ext]) => ext).sort().join(", ");
  const edit = of("edit");
  const view = of("view");
  return (
    <div class="panel">
      <h2>{t("editors")}</h2>
      {edit && <p>{t("editorsEdit", { list: edit })}</p>}
      {view && <p>{t("editorsView", { list: view })}</p>}
      {!edit && !view && <p class="quiet">{t("editorsNone")}</p>}
    </div>
  );
}

/** Whether the server and what it stands on answer, and how fast. */
export function Health() {
  const [rows, setRows] = useState<[string, boolean, number][]>([]);
  useEffect(() => {
    const ask = async (path: string): Promise<[string, boolean, number]> => {
      const began = performance.now();
      const ok = await fetch(path).then((a) => a.text().then(() => a.ok), () => false); // a body that nobody reads stays open
      return [path, ok, Math.round(performance.now() - began)];
    };
    void Promise.all(["/healthz", "/readyz", "/api/v1/account"].map(ask)).then(setRows);
  }, []);
  return (
    <div class="panel">
      <h2>{t("health")}</h2>
      <ul class="rows">
        {rows.map(([path, ok, ms]) => (
          <li key={path}>
            <span class="rows-main">
              <strong>{path}</strong> <span class="badge">{ok ? t("works") : t("fails")}</span>
            </span>
            <span class="quiet">{ms} ms</span>
          </li>
        ))}
      </ul>
      <Bars rows={rows.map(([path, , ms]) => [path, ms])} />
    </div>
  );
}

/** A small chart: a bar to a row, as long as its share of the longest. */
export function Bars({ rows, bytes }: { rows: [string, number][]; bytes?: boolean }) {
  const most = Math.max(1, ...rows.map((r) => r[1]));
  return (
    <ul class="bars">
      {rows.map(([label, n]) => (
        <li key={label}>
          <span>{label}</span>
          <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
            <rect width={Math.max(n ? 1 : 0, (100 * n) / most)} height="8" rx="2" />
          </svg>
          <span>{bytes ? size(n) : n}</span>
        </li>
      ))}
    </ul>
  );
}
