// The file API as the pages use it: with the session's cookie, and its form
// token on what changes something.

import { boot } from "./boot";
import { t, has } from "./i18n";

export interface Entry {
  uid: string;
  filename: string;
  path: string;
  is_dir: boolean;
  bytes: number;
  modified: number;
  revision: number;
  content_type?: string;
  access: Access;
  locked?: boolean;
  editing?: string[];
  deleted?: number;
}

export type Access = "none" | "viewer" | "editor" | "owner";
export type Sort = "name" | "size" | "modified";

export interface Folder extends Entry {
  contents: Entry[];
  total: number;
}

export interface Revision extends Entry {
  names?: string[];
  door: string;
  kind?: string;
  label?: string;
  restores?: number;
}

export interface Sharing extends Entry {
  people: { user: string; name: string; login: string; access: Access; here: boolean }[];
  links: { id: string; url: string; access: Access; by?: string; created: number; expires?: number; password: boolean }[];
}

export interface Person {
  uid: string;
  login: string;
  name: string;
}

/** A refusal of the server's, or its silence. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

type Params = Record<string, string | number | boolean | undefined>;

export function query(params: Params): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) if (v !== undefined) q.set(k, String(v));
  const s = q.toString();
  return s ? `?${s}` : "";
}

export async function failureOf(answer: Response): Promise<Failure> {
  let code = "";
  let text = "";
  try {
    const body = (await answer.json()) as { error?: string; msg?: string };
    code = body.error ?? "";
    text = body.msg ?? "";
  } catch {
    // A proxy's page: the status must do.
  }
  if (answer.status === 401) {
    location.assign(`/signin?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  const key = `error.${code}`;
  return new Failure(answer.status, code, has(key) ? t(key) : text || t("error.status", { status: answer.status }));
}

async function call<T>(method: string, path: string, init: RequestInit = {}): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(`/api/v1/${path}`, { method, credentials: "same-origin", ...init });
  } catch (e) {
    if (init.signal?.aborted) throw e;
    throw new Failure(0, "offline", t("error.offline"));
  }
  if (!answer.ok) throw await failureOf(answer);
  return (await answer.json()) as T;
}

export function get<T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<T> {
  return call<T>("GET", path + query(params), signal ? { signal } : {});
}

export function post<T = unknown>(path: string, params: Params = {}): Promise<T> {
  const kept = Object.fromEntries(Object.entries(params).filter(([, v]) => v !== undefined));
  return call<T>("POST", path, { headers: { "Content-Type": "application/json", "X-Quire-Form": boot.form }, body: JSON.stringify(kept) });
}

/** The address of a file's content, or of a rendition of it. */
export function contentURL(e: Entry, params: Params = {}): string {
  return `/api/v1/file/get${query({ uid: e.uid, revision: e.revision, ...params })}`;
}

export const downloadURL = (e: Entry): string => `/api/v1/file/get${query({ uid: e.uid })}`;

/** Downloads files and folders: one file as it is, anything else as an archive that is made while it is sent. */
export function download(entries: Entry[]): void {
  const [first] = entries;
  if (!first) return;
  if (entries.length === 1 && !first.is_dir) {
    const a = document.createElement("a");
    a.href = downloadURL(first);
    a.download = first.filename;
    a.click();
    return;
  }
  // A form, because the ids of a large selection do not fit into an address.
  const form = document.createElement("form");
  form.method = "post";
  form.action = "/api/v1/file/zip";
  for (const [name, value] of [["form", boot.form], ["uids", entries.map((e) => e.uid).join(",")]] as const) {
    const input = document.createElement("input");
    input.type = "hidden";
    input.name = name;
    input.value = value;
    form.append(input);
  }
  document.body.append(form);
  form.submit();
  form.remove();
}
