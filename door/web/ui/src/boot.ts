// What the server put into the page for this session.

export interface Boot {
  form: string;
  uid: string;
  name: string;
  admin: boolean;
  root: string;
  files: boolean;
  language: string;
  theme: string;
  documents: string[];
  editors: Record<string, "edit" | "view">;
}

export const boot: Boot = JSON.parse(document.getElementById("boot")!.textContent!) as Boot;

/** Remembers a choice for this browser for a year; the server reads it for the next page. */
export function remember(cookie: "quire-language" | "quire-theme", value: string): void {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${cookie}=${value}; Path=/; SameSite=Lax; Max-Age=${value ? 31536000 : 0}${secure}`;
}
