import { useEffect, useState } from "preact/hooks";
import { contentURL, type Entry } from "./api";
import { extension, kindOf, Sheet } from "./icons";

// The server may have no converter. After a few refusals it is not asked for
// pictures any more until the page is loaded again.
let refused = 0;
let served = false;

const direct = new Set(["png", "jpg", "jpeg", "gif", "webp", "avif", "bmp", "svg"]);
const small = 3_000_000;

// Seconds until a picture that is still being made is asked for again. No request
// waits for it: those would hold all of the browser's connections to the server.
const pauses = [2, 5, 15, 30];

function sources(e: Entry): string[] {
  const list: string[] = [];
  const kind = kindOf(e);
  if (["image", "pdf", "text", "sheet", "slides"].includes(kind) && extension(e.filename) !== "svg" && (served || refused < 4)) {
    list.push(contentURL(e, { mime: "image/png", width: 320, disposition: "inline" }));
  }
  if (direct.has(extension(e.filename)) && e.bytes <= small) list.push(contentURL(e, { disposition: "inline" }));
  return list;
}

/** A small picture of a file: a rendition of it, itself if it is a small image, or the sheet of its kind. */
export function Thumb({ entry }: { entry: Entry }) {
  const [from] = useState(() => sources(entry));
  const [at, setAt] = useState(0);
  const [tries, setTries] = useState(0);
  const [resting, setResting] = useState(false);
  useEffect(() => {
    if (!resting) return;
    const timer = setTimeout(() => {
      setTries(tries + 1);
      setResting(false);
    }, pauses[tries]! * 1000);
    return () => clearTimeout(timer);
  }, [resting]);
  let src = entry.bytes ? from[at] : undefined;
  const made = src?.includes("mime=");
  if (made) src = `${src}&wait=0${tries ? `&try=${tries}` : ""}`;
  if (!src || resting)
    return (
      <span class="thumb">
        <Sheet entry={entry} size={64} />
      </span>
    );
  return (
    <span class="thumb thumb-image">
      <img
        key={src}
        src={src}
        alt=""
        class={made ? "rendition" : ""}
        loading="lazy"
        decoding="async"
        draggable={false}
        onLoad={() => {
          if (made) served = true;
        }}
        onError={() => {
          if (made && from.length === 1 && tries < pauses.length) {
            setResting(true);
            return;
          }
          if (made) refused++;
          setAt(at + 1);
        }}
      />
    </span>
  );
}
