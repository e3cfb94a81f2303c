import "./style.css";
import { Component, render, type ComponentChildren } from "preact";
import { boot } from "./boot";
import { loadTexts, t } from "./i18n";

void loadTexts().then(async () => {
  document.documentElement.lang = boot.language;
  // After the texts, because columns and menus are made of them.
  const { App } = await import("./app");
  render(
    <Guard>
      <App />
    </Guard>,
    document.getElementById("app")!,
  );
});

/** Shows a way out where a part of the page fails. */
class Guard extends Component<{ children: ComponentChildren }, { failed: boolean }> {
  override state = { failed: false };

  override componentDidCatch(e: unknown): void {
    console.error(e);
    this.setState({ failed: true });
  }

  render() {
    return this.state.failed ? (
      <p class="empty" role="alert">
        {t("pageFailed")} <a href="/files">{t("backToFiles")}</a>
      </p>
    ) : (
      this.props.children
    );
  }
}
