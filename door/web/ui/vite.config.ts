import { defineConfig } from "vite";

// The build goes to ../built, which is in the repository. Names carry a hash of
// the content, so browsers may keep the files for good.
export default defineConfig({
  base: "/static/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../built",
    emptyOutDir: true,
    assetsDir: "app",
    manifest: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rolldownOptions: { input: "src/main.tsx" },
  },
});
