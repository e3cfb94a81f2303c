import type { Entry } from "./api";

const paths = {
  folder: "M3 7.5A2.5 2.5 0 0 1 5.5 5h3.2c.6 0 1.2.3 1.6.7L11.6 7h6.9A2.5 2.5 0 0 1 21 9.5v7a2.5 2.5 0 0 1-2.5 2.5h-13A2.5 2.5 0 0 1 3 16.5z",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zm-6 8.5c0-3 2.7-5 6-5s6 2 6 5M16 4.4a3.5 3.5 0 0 1 0 6.2M17.5 14.8c2.1.7 3.5 2.4 3.5 4.7",
  trash: "M4.5 7h15M9.5 7V5.2c0-.7.5-1.2 1.2-1.2h2.6c.7 0 1.2.5 1.2 1.2V7M6.5 7l.8 11.3c.1 1 .9 1.7 1.9 1.7h5.6c1 0 1.8-.7 1.9-1.7L17.5 7M10.2 11v5M13.8 11v5",
  plus: "M12 5v14M5 12h14",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.3 15.3 20 20",
  list: "M8.5 6.5h11M8.5 12h11M8.5 17.5h11M4.5 6.5h.01M4.5 12h.01M4.5 17.5h.01",
  grid: "M4.5 4.5h6v6h-6zM13.5 4.5h6v6h-6zM4.5 13.5h6v6h-6zM13.5 13.5h6v6h-6z",
  more: "M5.5 12h.01M12 12h.01M18.5 12h.01",
  up: "M12 19V5.5M6.5 11 12 5.5 17.5 11",
  down: "M12 5v13.5M6.5 13l5.5 5.5 5.5-5.5",
  download: "M12 4v11M7.5 10.8 12 15.3l4.5-4.5M4.5 19.5h15",
  upload: "M12 15.5v-11M7.5 8.8 12 4.3l4.5 4.5M4.5 19.5h15",
  edit: "M4.5 19.5l.8-4L15.8 5a2 2 0 0 1 2.8 0l.4.4a2 2 0 0 1 0 2.8L8.5 18.7zM14 7l3 3",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  share: "M17.5 8.5a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4zM6.5 14.7a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4zM17.5 20.9a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4zM9 10.8l6-3.5M9 13.2l6 3.5",
  history: "M4 12a8 8 0 1 0 2.5-5.8M4 4.5v4h4M12 8v4.3l3 1.7",
  close: "M6 6l12 12M18 6 6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  copy: "M8.5 8.5h9a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-9a2 2 0 0 1-2-2v-9zM15.5 5.5v-.2a1.8 1.8 0 0 0-1.8-1.8H6.3a1.8 1.8 0 0 0-1.8 1.8v7.4c0 1 .8 1.8 1.8 1.8h.2",
  move: "M3.5 8A2.5 2.5 0 0 1 6 5.5h2.7l2 2H18A2.5 2.5 0 0 1 20.5 10v6a2.5 2.5 0 0 1-2.5 2.5H6A2.5 2.5 0 0 1 3.5 16zM8.5 13h7M12.7 10.2l2.8 2.8-2.8 2.8",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  user: "M12 11.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c0-3.6 3.3-6 7.5-6s7.5 2.4 7.5 6",
  gear: "M12 15.2a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4zM19.2 13.5l1.3 1-1.8 3.1-1.6-.6a7 7 0 0 1-1.9 1.1l-.3 1.7h-3.6l-.3-1.7a7 7 0 0 1-1.9-1.1l-1.6.6-1.8-3.1 1.3-1a7 7 0 0 1 0-2.2l-1.3-1 1.8-3.1 1.6.6A7 7 0 0 1 11 6.6l.3-1.7h3.6l.3 1.7a7 7 0 0 1 1.9 1.1l1.6-.6 1.8 3.1-1.3 1a7 7 0 0 1 0 2.3z",
  lock: "M7.5 10.5V8a4.5 4.5 0 0 1 9 0v2.5M6.5 10.5h11a1.5 1.5 0 0 1 1.5 1.5v6.5a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 5 18.5V12a1.5 1.5 0 0 1 1.5-1.5z",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2.5V5M12 19v2.5M2.5 12H5M19 12h2.5M5.3 5.3 7 7M17 17l1.7 1.7M5.3 18.7 7 17M17 7l1.7-1.7",
  left: "M14.5 5.5 8 12l6.5 6.5",
  right: "M9.5 5.5 16 12l-6.5 6.5",
  pause: "M9 6v12M15 6v12",
  play: "M8 5.5v13l10-6.5z",
  retry: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L19.5 9M19.5 4.5V9H15",
  document: "M6.5 3.5h7.5l4.5 4.5v11a1.5 1.5 0 0 1-1.5 1.5H6.5A1.5 1.5 0 0 1 5 19V5a1.5 1.5 0 0 1 1.5-1.5zM13.5 3.5V8.5h5",
  warning: "M12 9v4.5M12 17h.01M10.3 4.3 2.9 17.3A2 2 0 0 0 4.6 20.3h14.8a2 2 0 0 0 1.7-3L13.7 4.3a2 2 0 0 0-3.4 0z",
  restore: "M4.5 12a7.5 7.5 0 1 0 2.3-5.4L4.5 9M4.5 4.5V9H9",
} as const;

export type IconName = keyof typeof paths;

/** A drawing that says nothing by itself: what carries it has a name. */
export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  return (
    <svg class={`icon icon-${name}`} width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}

export type FileKind = "folder" | "text" | "sheet" | "slides" | "pdf" | "image" | "audio" | "video" | "archive" | "code" | "other";

const kinds: Record<string, FileKind> = {};
for (const [kind, list] of Object.entries({
  text: "doc docx docm dot dotx odt ott fodt rtf txt md pages epub log",
  sheet: "xls xlsx xlsm xlsb xltx ods ots fods csv tsv numbers",
  slides: "ppt pptx pptm ppsx potx odp otp key",
  pdf: "pdf ps",
  image: "png jpg jpeg gif webp avif bmp svg heic tif tiff ico odg vsd vsdx",
  audio: "mp3 m4a wav ogg flac aac opus",
  video: "mp4 m4v mov webm mkv avi",
  archive: "zip gz tar 7z rar bz2 xz",
  code: "html htm xhtml css js ts tsx json xml yaml yml go py rs c h cpp java sh sql toml ini conf",
} satisfies Partial<Record<FileKind, string>>)) for (const ext of list.split(" ")) kinds[ext] = kind as FileKind;

export const extension = (name: string): string => (name.includes(".") ? name.slice(name.lastIndexOf(".") + 1).toLowerCase() : "");

export const kindOf = (e: Entry): FileKind => (e.is_dir ? "folder" : (kinds[extension(e.filename)] ?? "other"));

const marks: Record<FileKind, string> = {
  folder: "",
  text: "M9 14h10M9 18h10M9 22h6.5",
  sheet: "M9 13.5h10v9H9zM9 18h10M14 13.5v9",
  slides: "M9 14h10v7H9zM14 21v2.5",
  pdf: "M10 22c4-3 4.5-9 3.5-9s0 5 5 7c-3-.5-6 .3-8.5 2z",
  image: "M9 22l3.5-5 2.5 3 1.5-1.5L19 22zM17.5 14.2h.01",
  audio: "M11.5 21V14.5l6-1.5v6.5M11.5 21a1.5 1.5 0 1 1-1.5-1.5M17.5 19.5A1.5 1.5 0 1 1 16 18",
  video: "M11.5 14v7.5l6.5-3.75z",
  archive: "M14 11v2M14 14.5v2M14 18h.01M12.5 20h3v3h-3z",
  code: "M11.5 14.5 9 17.75l2.5 3.25M16.5 14.5l2.5 3.25-2.5 3.25",
  other: "",
};

/** The picture of a kind of file: a sheet with a mark in its colour. */
export function Sheet({ entry, size = 28 }: { entry: Entry; size?: number }) {
  const kind = kindOf(entry);
  if (kind === "folder") {
    return (
      <svg class="sheet sheet-folder" width={size} height={size} viewBox="0 0 28 28" aria-hidden="true" focusable="false">
        <path class="back" d="M3 8.5A2.5 2.5 0 0 1 5.5 6h4.7c.7 0 1.3.3 1.8.7L13.6 8.5h8.9A2.5 2.5 0 0 1 25 11v9.5a2.5 2.5 0 0 1-2.5 2.5h-17A2.5 2.5 0 0 1 3 20.5z" />
        <path class="front" d="M3 13a2 2 0 0 1 2-2h18a2 2 0 0 1 2 2v7.5a2.5 2.5 0 0 1-2.5 2.5h-17A2.5 2.5 0 0 1 3 20.5z" />
      </svg>
    );
  }
  return (
    <svg class={`sheet sheet-${kind}`} width={size} height={size} viewBox="0 0 28 28" aria-hidden="true" focusable="false">
      <path class="paper" d="M7.5 2.5h9.5l6 6v15a2 2 0 0 1-2 2H7.5a2 2 0 0 1-2-2v-19a2 2 0 0 1 2-2z" />
      <path class="fold" d="M17 2.5l6 6h-4.5A1.5 1.5 0 0 1 17 7z" />
      <path class="mark" d={marks[kind]} />
    </svg>
  );
}
