// A look at one file: pictures, text, PDF, sound and film as the browser shows
// them, office files by their PDF. What was uploaded never runs here: pictures
// and text only, and frames only of PDF.

import { useEffect, useRef, useState } from "preact/hooks";
import { editorOf, fileActions, isOffice, mayEdit, openEditor, showDetails } from "./actions";
import { contentURL, downloadURL, Failure, get, type Entry } from "./api";
import { shown } from "./files";
import { LockMark } from "./fileview";
import { size, t, whenExactly } from "./i18n";
import { extension, Icon, kindOf, Sheet } from "./icons";
import { router } from "./router";
import { Button, complain, IconButton, menus, say } from "./ui";

const images = new Set(["png", "jpg", "jpeg", "gif", "webp", "avif", "bmp", "svg", "ico"]);
const texts = new Set("txt md log csv tsv json xml yaml yml html htm xhtml css js ts tsx go py rs c h cpp java sh sql toml ini conf ics vcf eml".split(" "));
const sounds = new Set(["mp3", "m4a", "wav", "ogg", "flac"]);
const films = new Set(["mp4", "m4v", "webm", "mov"]);

/** The beginning of a text that is shown, in bytes. */
const textLimit = 512 << 10;

export function Preview({ uid, revision }: { uid: string; revision: number | undefined }) {
  const [entry, setEntry] = useState<Entry | null>(null);
  const [error, setError] = useState("");
  const box = useRef<HTMLDialogElement>(null);
  const close = () => router.set("preview", "");

  useEffect(() => {
    const d = box.current!;
    const back = document.activeElement as HTMLElement | null;
    d.showModal();
    return () => {
      d.close();
      back?.focus();
    };
  }, []);

  useEffect(() => {
    let here = true;
    setError("");
    const look = async () => {
      try {
        const e = await get<Entry>("content/metadata", { uid });
        if (here) setEntry(revision ? { ...e, revision } : e);
      } catch (e) {
        if (here && !(e instanceof Failure && e.status === 0)) setError((e as Error).message);
      }
    };
    void look();
    const timer = setInterval(() => document.visibilityState === "visible" && void look(), 4000);
    return () => {
      here = false;
      clearInterval(timer);
    };
  }, [uid, revision]);

  const step = (by: number) => {
    const source = shown.source;
    if (!source || revision) return;
    for (let i = source.indexOf(uid) + by; i >= 0 && i < source.total; i += by) {
      const e = source.at(i);
      if (!e) return;
      if (!e.is_dir) return router.set("preview", e.uid, true);
    }
  };
  const keys = (e: KeyboardEvent) => {
    if ((e.target as Element).closest("video, audio, pre")) return;
    if (e.key === "ArrowLeft") step(-1);
    else if (e.key === "ArrowRight") step(1);
  };

  const e = entry?.uid === uid ? entry : null;
  const how = e ? editorOf(e) : undefined;
  return (
    <dialog
      ref={box}
      class="preview"
      aria-label={e ? t("previewOf", { name: e.filename }) : t("preview")}
      onCancel={(ev) => {
        ev.preventDefault();
        close();
      }}
      onKeyDown={keys}
    >
      <header class="preview-head">
        <IconButton icon="close" label={t("close")} onClick={close} />
        {e && <Sheet entry={e} size={24} />}
        <h2>{e?.filename ?? ""}</h2>
        {e && <LockMark entry={e} />}
        {e && (
          <div class="preview-tools">
            {how && !revision && (
              <Button kind="primary" icon={how === "edit" && mayEdit(e) ? "edit" : "eye"} data-action="edit" onClick={() => openEditor(e, how === "edit" && mayEdit(e) ? "edit" : "view")}>
                {t(how === "edit" && mayEdit(e) ? "edit" : "view")}
              </Button>
            )}
            {!how && isOffice(e) && !revision && (
              <Button icon="edit" data-action="edit" onClick={() => say(t("noEditor"))}>
                {t("edit")}
              </Button>
            )}
            <a class="icon-button" href={revision ? `/api/v1/file/get?uid=${e.uid}&revision=${revision}` : downloadURL(e)} download={e.filename} aria-label={t("download")} title={t("download")}>
              <Icon name="download" />
            </a>
            {!revision && <IconButton icon="history" label={t("history")} onClick={() => (close(), showDetails(e, "history"))} />}
            {!revision && mayEdit(e) && <IconButton icon="share" label={t("share")} onClick={() => (close(), showDetails(e, "sharing"))} />}
            {!revision && (
              <IconButton
                icon="more"
                label={t("moreActions")}
                onClick={(ev) => {
                  const at = ev.currentTarget.getBoundingClientRect();
                  close();
                  menus.show({ x: at.left, y: at.bottom }, e.filename, fileActions([e], { refresh: () => void shown.source?.refresh(), chosen: { drop: () => {} } }));
                }}
              />
            )}
          </div>
        )}
      </header>
      <div class="preview-body">
        {error ? (
          <p class="preview-note" role="alert">
            {error}
          </p>
        ) : (
          e && <Content key={`${e.uid}.${e.revision}`} e={e} />
        )}
        {!revision && shown.source && (
          <>
            <IconButton class="preview-step preview-back" icon="left" label={t("previousFile")} onClick={() => step(-1)} />
            <IconButton class="preview-step preview-next" icon="right" label={t("nextFile")} onClick={() => step(1)} />
          </>
        )}
      </div>
    </dialog>
  );
}

function Content({ e }: { e: Entry }) {
  const ext = extension(e.filename);
  const src = contentURL(e, { disposition: "inline" });
  if (e.is_dir) return <Nothing e={e} text={t("noPreview")} />;
  if (!e.bytes) return <Nothing e={e} text={t("emptyFile")} />;
  if (images.has(ext)) return <Picture e={e} src={src} />;
  if (ext === "pdf") return <iframe class="preview-frame" src={src} title={e.filename} />;
  if (sounds.has(ext)) return <audio class="preview-audio" controls preload="metadata" src={src} aria-label={e.filename} />;
  if (films.has(ext)) return <video class="preview-video" controls preload="metadata" src={src} aria-label={e.filename} />;
  if (texts.has(ext)) return <TextOf e={e} />;
  return <Rendition e={e} />;
}

function Picture({ e, src }: { e: Entry; src: string }) {
  const [bad, setBad] = useState(false);
  if (bad) return <Nothing e={e} text={t("noPreview")} />;
  return <img class="preview-image" src={src} alt={e.filename} onError={() => setBad(true)} />;
}

function TextOf({ e }: { e: Entry }) {
  const [text, setText] = useState<string | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    const end = Math.min(e.bytes, textLimit);
    fetch(contentURL(e), { headers: { Range: `bytes=0-${end - 1}` }, signal: stop.signal })
      .then(async (a) => {
        if (!a.ok) throw new Error(t("error.status", { status: a.status }));
        const bytes = new Uint8Array(await a.arrayBuffer());
        const wide = bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "utf-8";
        setText(new TextDecoder(wide).decode(bytes));
      })
      .catch((err: unknown) => stop.signal.aborted || complain(err));
    return () => stop.abort();
  }, [e.uid, e.revision]);
  if (text === null) return null;
  return (
    <div class="preview-text">
      <pre tabIndex={0} aria-label={e.filename}>
        {text}
      </pre>
      {e.bytes > textLimit && <p class="quiet">{t("onlyBeginning", { size: size(textLimit) })}</p>}
    </div>
  );
}

/** Shows a file by the PDF that the server makes of it, if it can. */
function Rendition({ e }: { e: Entry }) {
  const [state, setState] = useState<"asked" | "there" | "none">("asked");
  const src = contentURL(e, { mime: "application/pdf", disposition: "inline" });
  useEffect(() => {
    const stop = new AbortController();
    fetch(src, { headers: { Range: "bytes=0-0" }, signal: stop.signal }).then(
      (a) => setState(a.ok && (a.headers.get("Content-Type") ?? "").startsWith("application/pdf") ? "there" : "none"),
      () => stop.signal.aborted || setState("none"),
    );
    return () => stop.abort();
  }, [src]);
  if (state === "there") return <iframe class="preview-frame" src={src} title={e.filename} />;
  if (state === "asked") return <p class="preview-note quiet">{t("preparing")}</p>;
  return <Nothing e={e} text={t(isOffice(e) && !editorOf(e) ? "noPreviewOffice" : "noPreview")} />;
}

function Nothing({ e, text }: { e: Entry; text: string }) {
  return (
    <div class="preview-note">
      <Sheet entry={e} size={96} />
      <p class="preview-name">{e.filename}</p>
      <p class="quiet">
        {size(e.bytes)} · {whenExactly(e.modified)}
      </p>
      <p>{text}</p>
      {!e.is_dir && (
        <a class="button button-primary" href={downloadURL(e)} download={e.filename}>
          <Icon name="download" />
          <span>{t("download")}</span>
        </a>
      )}
      <span class="unseen">{kindOf(e)}</span>
    </div>
  );
}
