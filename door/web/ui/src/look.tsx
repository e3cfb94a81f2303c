// Small things that several pages show.

import { boot, remember } from "./boot";
import { has, size, t } from "./i18n";

export function setTheme(theme: string): void {
  boot.theme = theme;
  remember("quire-theme", theme);
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

export function Meter({ used, quota }: { used: number; quota: number }) {
  const text = quota ? t("usedOf", { used: size(used), quota: size(quota) }) : t("used", { used: size(used) });
  return (
    <div class="meter">
      {quota > 0 && <meter aria-label={t("storage")} min={0} max={quota} high={quota * 0.9} value={used} />}
      <span>{text}</span>
    </div>
  );
}

/** The name of the protocol that something came by. */
export const doorName = (door: string): string => (has(`door.${door}`) ? t(`door.${door}` as "door.web") : door);
