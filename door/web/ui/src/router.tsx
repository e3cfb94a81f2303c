import type { AllHTMLAttributes, ComponentChildren } from "preact";
import { Store } from "./store";

/** Where we are. Places are addresses of this server, so each can be reloaded, bookmarked and sent to others. */
class Router extends Store {
  path = location.pathname;
  params = new URLSearchParams(location.search);

  constructor() {
    super();
    addEventListener("popstate", () => this.read());
  }

  private read(): void {
    this.path = location.pathname;
    this.params = new URLSearchParams(location.search);
    this.changed();
  }

  go(to: string, replace = false): void {
    if (to === location.pathname + location.search) return;
    if (replace) history.replaceState(null, "", to);
    else history.pushState(null, "", to);
    this.read();
  }

  /** Changes one parameter and keeps the place; an empty value drops it. */
  set(name: string, value: string, replace = false): void {
    const q = new URLSearchParams(location.search);
    if (value) q.set(name, value);
    else q.delete(name);
    const s = q.toString();
    this.go(location.pathname + (s ? `?${s}` : ""), replace);
  }
}

export const router = new Router();

interface LinkProps extends Omit<AllHTMLAttributes<HTMLAnchorElement>, "href" | "role"> {
  to: string;
  children?: ComponentChildren;
  "aria-current"?: "page" | undefined;
}

/** A link within the application. */
export function Link({ to, onClick, ...rest }: LinkProps) {
  return (
    <a
      {...(rest as object)}
      href={to}
      onClick={(e) => {
        onClick?.(e as never);
        if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
        e.preventDefault();
        router.go(to);
      }}
    />
  );
}

export const folderPath = (uid: string, root: string): string => (uid === root ? "/files" : `/files/${uid}`);
