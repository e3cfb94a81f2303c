// The parts that everything is made of: buttons, menus, dialogs, notices.

import type { AllHTMLAttributes, ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./icons";
import { t } from "./i18n";
import { Store, useStore } from "./store";

interface ButtonProps extends Omit<AllHTMLAttributes<HTMLButtonElement>, "icon" | "type" | "kind" | "role"> {
  icon?: IconName;
  kind?: "primary" | "plain" | "danger";
  children?: ComponentChildren;
  disabled?: boolean;
  type?: "button" | "submit";
}

export function Button({ icon, kind = "plain", children, type = "button", class: extra, ...rest }: ButtonProps) {
  return (
    <button type={type} class={`button button-${kind} ${extra ?? ""}`} {...(rest as object)}>
      {icon && <Icon name={icon} />}
      {children && <span>{children}</span>}
    </button>
  );
}

interface IconButtonProps extends Omit<AllHTMLAttributes<HTMLButtonElement>, "icon" | "label" | "type" | "size" | "role"> {
  icon: IconName;
  label: string;
  size?: number;
  disabled?: boolean;
}

export function IconButton({ icon, label, size, class: extra, ...rest }: IconButtonProps) {
  return (
    <button type="button" class={`icon-button ${extra ?? ""}`} aria-label={label} title={label} {...(rest as object)}>
      <Icon name={icon} size={size ?? 20} />
    </button>
  );
}

export interface Action {
  id: string;
  label: string;
  icon: IconName;
  danger?: boolean;
  keys?: string;
  href?: string;
  run?: () => void;
}

interface MenuState {
  at: { x: number; y: number };
  label: string;
  actions: Action[];
  back: HTMLElement | null;
}

/** The one menu that may be open. */
class Menus extends Store {
  open: MenuState | null = null;

  show(at: { x: number; y: number } | HTMLElement, label: string, actions: Action[]): void {
    const back = document.activeElement as HTMLElement | null;
    if (at instanceof HTMLElement) {
      const box = at.getBoundingClientRect();
      at = { x: box.left, y: box.bottom + 4 };
    }
    this.open = { at, label, actions, back };
    this.changed();
  }

  close(focus = true): void {
    const back = this.open?.back;
    this.open = null;
    this.changed();
    if (focus) back?.focus();
  }
}

export const menus = new Menus();

export function MenuHost() {
  const { open } = useStore(menus);
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const el = box.current;
    if (!open || !el) return;
    const r = el.getBoundingClientRect();
    el.style.left = `${Math.max(8, Math.min(open.at.x, innerWidth - r.width - 8))}px`;
    el.style.top = `${Math.max(8, open.at.y + r.height > innerHeight - 8 ? Math.min(open.at.y, innerHeight - 8) - r.height : open.at.y)}px`;
    el.querySelector<HTMLElement>("[role=menuitem]")?.focus();
    const away = (e: Event) => {
      if (!el.contains(e.target as Node)) menus.close(false);
    };
    addEventListener("pointerdown", away, true);
    addEventListener("resize", away);
    return () => {
      removeEventListener("pointerdown", away, true);
      removeEventListener("resize", away);
    };
  }, [open]);
  if (!open) return null;
  const keys = (e: KeyboardEvent) => {
    const items = [...box.current!.querySelectorAll<HTMLElement>("[role=menuitem]")];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[e.key];
    if (to !== undefined) items.at(to % items.length)?.focus();
    else if (e.key === "Escape" || e.key === "Tab") menus.close();
    else return;
    e.preventDefault();
    e.stopPropagation();
  };
  return (
    <div class="menu" role="menu" aria-label={open.label} ref={box} onKeyDown={keys} onContextMenu={(e) => e.preventDefault()}>
      {open.actions.map((a) => {
        const inside = (
          <>
            <Icon name={a.icon} />
            <span>{a.label}</span>
            {a.keys && <kbd aria-hidden="true">{a.keys}</kbd>}
          </>
        );
        const done = () => {
          menus.close();
          a.run?.();
        };
        return a.href ? (
          <a key={a.id} role="menuitem" class="menu-item" tabIndex={-1} href={a.href} data-action={a.id} onClick={done}>
            {inside}
          </a>
        ) : (
          <button key={a.id} type="button" role="menuitem" class={`menu-item ${a.danger ? "danger" : ""}`} tabIndex={-1} data-action={a.id} onClick={done}>
            {inside}
          </button>
        );
      })}
    </div>
  );
}

interface Notice {
  id: number;
  text: string;
  bad: boolean;
  action?: { label: string; run: () => void } | undefined;
}

/** Short sentences about what has happened. */
class Notices extends Store {
  list: Notice[] = [];
  private next = 1;

  say(text: string, action?: Notice["action"], bad = false): void {
    const id = this.next++;
    this.list = [...this.list.slice(-3), { id, text, bad, action }];
    this.changed();
    setTimeout(() => this.drop(id), bad ? 12000 : 7000);
  }

  drop(id: number): void {
    this.list = this.list.filter((n) => n.id !== id);
    this.changed();
  }
}

export const notices = new Notices();

export const say = (text: string, action?: Notice["action"]): void => notices.say(text, action);
export const complain = (e: unknown): void => notices.say(e instanceof Error ? e.message : String(e), undefined, true);

export function NoticeHost() {
  const { list } = useStore(notices);
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    // Shown anew for each, so that it lies above a dialog that has been opened.
    box.current!.hidePopover();
    if (list.length) box.current!.showPopover();
  }, [list]);
  return (
    <div class="notices" popover="manual" ref={box}>
      <div role="status">
        {list.filter((n) => !n.bad).map((n) => <NoticeLine key={n.id} n={n} />)}
      </div>
      <div role="alert">
        {list.filter((n) => n.bad).map((n) => <NoticeLine key={n.id} n={n} />)}
      </div>
    </div>
  );
}

function NoticeLine({ n }: { n: Notice }) {
  return (
    <div class={`notice ${n.bad ? "notice-bad" : ""}`}>
      {n.bad && <Icon name="warning" />}
      <span>{n.text}</span>
      {n.action && (
        <button
          type="button"
          class="notice-action"
          onClick={() => {
            notices.drop(n.id);
            n.action!.run();
          }}
        >
          {n.action.label}
        </button>
      )}
      <IconButton icon="close" size={16} label={t("close")} onClick={() => notices.drop(n.id)} />
    </div>
  );
}

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  wide?: boolean;
}

/** A window over the page: the browser keeps the focus in it and gives it back. */
export function Dialog({ title, onClose, children, wide }: DialogProps) {
  const el = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const d = el.current!;
    const back = document.activeElement as HTMLElement | null;
    d.showModal();
    d.querySelector<HTMLElement>("[data-first]")?.focus();
    return () => {
      d.close();
      back?.focus();
    };
  }, []);
  return (
    <dialog
      ref={el}
      class={`dialog ${wide ? "dialog-wide" : ""}`}
      aria-labelledby={id}
      onCancel={(e) => {
        e.preventDefault();
        onClose();
      }}
      onMouseDown={(e) => e.target === el.current && onClose()}
      onKeyDown={(e) => e.stopPropagation()}
    >
      <div class="dialog-inside">
        <header>
          <h2 id={id}>{title}</h2>
          <IconButton icon="close" label={t("close")} onClick={onClose} />
        </header>
        {children}
      </div>
    </dialog>
  );
}

/** Dialogs by what opens them. */
class Dialogs extends Store {
  open: ((close: () => void) => ComponentChildren) | null = null;

  show(make: (close: () => void) => ComponentChildren): void {
    this.open = make;
    this.changed();
  }

  close = (): void => {
    this.open = null;
    this.changed();
  };
}

export const dialogs = new Dialogs();

export function DialogHost() {
  const { open } = useStore(dialogs);
  return open ? <>{open(dialogs.close)}</> : null;
}

/** Runs what a form does, shows that it runs, and why it failed. */
export function useTask(): { busy: boolean; error: string; run: (work: () => Promise<unknown>) => Promise<boolean> } {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const run = async (work: () => Promise<unknown>) => {
    setBusy(true);
    setError("");
    try {
      await work();
      return true;
    } catch (e) {
      setError(e instanceof Error ? e.message : String(e));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, run };
}

export function Problem({ text }: { text: string }) {
  return text ? (
    <p class="problem" role="alert">
      <Icon name="warning" size={18} />
      {text}
    </p>
  ) : null;
}

interface FieldProps extends Omit<AllHTMLAttributes<HTMLInputElement>, "label" | "list" | "role"> {
  label: string;
  hint?: string;
  value?: string;
  type?: string;
  required?: boolean;
  min?: string;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  placeholder?: string;
  autoComplete?: string;
  readOnly?: boolean;
}

export function Field({ label, hint, ...rest }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input id={id} aria-describedby={hint ? `${id}-hint` : undefined} {...(rest as object)} />
      {hint && (
        <small id={`${id}-hint`} class="quiet">
          {hint}
        </small>
      )}
    </div>
  );
}

interface SelectProps {
  label: string;
  value: string;
  onPick: (value: string) => void;
  options: [value: string, label: string][];
  hideLabel?: boolean;
  disabled?: boolean;
}

export function Select({ label, value, onPick, options, hideLabel, disabled }: SelectProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id} class={hideLabel ? "unseen" : ""}>
        {label}
      </label>
      <select id={id} value={value} disabled={disabled} onChange={(e) => onPick(e.currentTarget.value)}>
        {options.map(([v, l]) => (
          <option key={v} value={v} selected={v === value}>
            {l}
          </option>
        ))}
      </select>
    </div>
  );
}

/** The page's title, for the window and for screen readers. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · Quire` : "Quire";
  }, [title]);
}

export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <span class="empty-icon">
        <Icon name={icon} size={36} />
      </span>
      <p class="empty-title">{title}</p>
      {children && <div class="quiet">{children}</div>}
    </div>
  );
}
