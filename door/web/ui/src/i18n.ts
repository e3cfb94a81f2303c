// Sentences by key, in the language of the page. Only that language is loaded.

import { boot } from "./boot";
import { en } from "./en";

export type TextKey = keyof typeof en;
export type Texts = Record<TextKey, string>;

let texts: Record<string, string> = en;

export const language = boot.language;

/** The languages that there are, by the name that each has for itself. */
export const languages: Record<string, string> = { en: "English", de: "Deutsch" };

export async function loadTexts(): Promise<void> {
  if (language === "de") texts = (await import("./de")).de;
}

export const has = (key: string): key is TextKey => key in texts;

/**
 * Returns a sentence with its values. "{n|one file|{n} files}" chooses by the
 * number n.
 */
export function t(key: TextKey, values: Record<string, string | number> = {}): string {
  const text = texts[key] ?? (en as Record<string, string>)[key] ?? key;
  return text
    .replace(/\{(\w+)\|([^|]*)\|((?:[^{}]|\{\w+\})*)\}/g, (_, name: string, one: string, many: string) => (values[name] === 1 ? one : many))
    .replace(/\{(\w+)\}/g, (all, name: string) => {
      const v = values[name];
      return v === undefined ? all : typeof v === "number" ? v.toLocaleString(language) : v;
    });
}

const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;
const sizes = units.map((unit) => new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: unit === "byte" ? "long" : "short", maximumFractionDigits: 1 }));

export function size(bytes: number): string {
  let i = 0;
  while (bytes >= 999.5 && i < units.length - 1) {
    bytes /= 1000;
    i++;
  }
  return sizes[i]!.format(i && bytes >= 100 ? Math.round(bytes) : bytes);
}

const clock = new Intl.DateTimeFormat(language, { hour: "numeric", minute: "2-digit" });
const day = new Intl.DateTimeFormat(language, { day: "numeric", month: "short" });
const date = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", year: "numeric" });
const exact = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "medium" });

/** A time in seconds since 1970, as short as it can be said today. */
export function when(seconds: number): string {
  const then = new Date(seconds * 1000);
  const now = new Date();
  if (then.toDateString() === now.toDateString()) return clock.format(then);
  return (then.getFullYear() === now.getFullYear() ? day : date).format(then);
}

export const whenExactly = (seconds: number): string => exact.format(new Date(seconds * 1000));
