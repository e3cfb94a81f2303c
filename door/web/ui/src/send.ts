// Sends one file: over tus where the server has it, else in the pieces of the
// file API. Either goes on where it stopped, also after the page was loaded
// again.

import { DetailedError, Upload as Tus, type HttpRequest } from "tus-js-client";
import { boot } from "./boot";
import { Failure, failureOf, post, query } from "./api";
import { has, t } from "./i18n";
import { join, type Sender, type Upload } from "./uploads";

export interface Reports {
  progress: (sent: number) => void;
  done: () => void;
  failed: (e: unknown) => void;
}

const delays = [0, 500, 1500, 4000, 8000, 15000, 30000];

let tus: Promise<boolean> | undefined;

/** Whether the server takes tus: asked once. */
function hasTus(): Promise<boolean> {
  tus ??= fetch("/uploads", { method: "OPTIONS" }).then(
    (a) => a.ok && a.headers.has("Tus-Version"),
    () => {
      tus = undefined;
      return true;
    },
  );
  return tus;
}

export function send(u: Upload, reports: Reports): Sender {
  let stopped = false;
  let inner: Sender | null = null;
  const guarded: Reports = {
    progress: (n) => stopped || reports.progress(n),
    done: () => stopped || reports.done(),
    failed: (e) => stopped || reports.failed(e),
  };
  void hasTus().then((yes) => {
    if (!stopped) inner = yes ? sendTus(u, guarded) : sendPieces(u, guarded);
  });
  return {
    stop(forGood) {
      stopped = true;
      inner?.stop(forGood);
    },
  };
}

const fingerprint = (u: Upload): string => `quire.upload.${boot.uid}.${u.folder.uid}.${u.path}.${u.size}.${u.modified}.${u.conflict}`;

function sendTus(u: Upload, reports: Reports): Sender {
  const upload = new Tus(u.file!, {
    endpoint: "/uploads",
    chunkSize: 32 << 20,
    retryDelays: delays,
    storeFingerprintForResuming: true,
    removeFingerprintOnSuccess: true,
    fingerprint: () => Promise.resolve(fingerprint(u)),
    headers: { "X-Quire-Form": boot.form },
    metadata: {
      path: join(u.folder.path, u.path),
      modified: String(u.modified),
      conflict: u.conflict,
    },
    onBeforeRequest: (r: HttpRequest) => {
      const x = r.getUnderlyingObject() as XMLHttpRequest;
      x.withCredentials = true;
    },
    onShouldRetry: (e) => {
      const status = e.originalResponse?.getStatus() ?? 0;
      return status === 0 || status >= 500 && status !== 507 || status === 409 && e.originalResponse!.getHeader("Upload-Offset") !== undefined;
    },
    onProgress: (sent) => reports.progress(sent),
    onSuccess: () => reports.done(),
    onError: (e) => reports.failed(tusFailure(e)),
  });
  let gone = false;
  void upload.findPreviousUploads().then((found) => {
    if (gone) return;
    const last = found.sort((a, b) => b.creationTime.localeCompare(a.creationTime))[0];
    if (last) upload.resumeFromPreviousUpload(last);
    upload.start();
  });
  return {
    stop(forGood) {
      gone = true;
      void upload.abort(forGood).catch(() => {}); // what stays expires by itself
    },
  };
}

function tusFailure(e: Error): unknown {
  const answer = e instanceof DetailedError ? e.originalResponse : null;
  if (!answer) return new Failure(0, "offline", t("error.offline"));
  let code = "";
  let text = "";
  try {
    const body = JSON.parse(answer.getBody()) as { error?: string; msg?: string };
    code = body.error ?? "";
    text = body.msg ?? "";
  } catch {
    text = answer.getBody().trim();
  }
  const status = answer.getStatus();
  // tus answers in plain text.
  if (!code && status === 409 && /exists/.test(text)) code = "exists";
  if (!code && status === 507) code = /quota/.test(text) ? "quota_exceeded" : "no_space";
  if (!code && status === 423) code = "locked";
  const key = `error.${code}`;
  return new Failure(status, code, has(key) ? t(key) : text.slice(0, 300) || t("error.status", { status }));
}

const piece = 8 << 20;

interface Progress {
  upload_id: string;
  offset: number;
  error?: string;
}

/** Sends a file by the chunked uploads of the file API. */
function sendPieces(u: Upload, reports: Reports): Sender {
  const stop = new AbortController();
  const key = fingerprint(u);
  const put = async (path: string, body: Blob | null): Promise<Response> => {
    for (let i = 0; ; i++) {
      try {
        return await fetch(path, { method: body ? "PUT" : "POST", body, headers: { "X-Quire-Form": boot.form, ...(body || u.conflict !== "reject" ? {} : { "If-None-Match": "*" }) }, signal: stop.signal });
      } catch (e) {
        if (stop.signal.aborted || i >= delays.length) throw e;
        await new Promise((ok) => setTimeout(ok, delays[i]));
      }
    }
  };
  const run = async () => {
    let id = localStorage.getItem(key) ?? "";
    let offset = 0;
    // The server tells how far an upload is that was begun before: it is asked
    // with nothing.
    for (let asked = !id; !asked || offset < u.size || !id; ) {
      const answer = await put(`/api/v1/file/chunked_upload${query({ upload_id: id || undefined, offset })}`, u.file!.slice(offset, asked ? offset + piece : offset));
      const at = (await answer.clone().json().catch(() => ({}))) as Partial<Progress>;
      if (!answer.ok && at.offset === undefined) {
        if (answer.status !== 404 || asked) throw await failureOf(answer);
        id = ""; // it has expired
        asked = true;
        offset = 0;
        continue;
      }
      asked = true;
      id = at.upload_id ?? id;
      offset = at.offset!;
      localStorage.setItem(key, id);
      reports.progress(offset);
    }
    const done = await put(`/api/v1/file/commit_chunked_upload${query({ upload_id: id, path: join(u.folder.path, u.path), overwrite: u.conflict === "replace" })}`, null);
    if (done.status === 412) throw new Failure(409, "exists", t("error.exists"));
    if (!done.ok) throw await failureOf(done);
    localStorage.removeItem(key);
    reports.done();
  };
  run().catch((e: unknown) => {
    if (!stop.signal.aborted) reports.failed(e instanceof Failure ? e : new Failure(0, "offline", t("error.offline")));
  });
  return {
    stop(forGood) {
      stop.abort();
      if (forGood) forget(u);
    },
  };
}

/** Gives up what the server has of an upload in pieces. */
export function forget(u: Upload): void {
  const key = fingerprint(u);
  const id = localStorage.getItem(key);
  localStorage.removeItem(key);
  if (id) void post("file/cancel_upload", { upload_id: id }).catch(() => {}); // it expires by itself
}
