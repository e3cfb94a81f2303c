import { useState } from "preact/hooks";
import { contentURL, type Entry } from "./api";
import { extension, kindOf, Sheet } from "./icons";

// The server may have no converter. After a few refusals it is not asked for
// pictures any more until the page is loaded again.
let refused = 0;
let served = false;

const direct = new Set(["png", "jpg", "jpeg", "gif", "webp", "avif", "bmp", "svg"]);
const small = 3_000_000;

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
  const src = entry.bytes ? from[at] : undefined;
  if (!src)
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
        class={src.includes("mime=") ? "rendition" : ""}
        loading="lazy"
        decoding="async"
        draggable={false}
        onLoad={() => {
          if (src.includes("mime=")) served = true;
        }}
        onError={() => {
          if (src.includes("mime=")) refused++;
          setAt(at + 1);
        }}
      />
    </span>
  );
}
