import { defineConfig } from "vite";

export default defineConfig({
  esbuild: { jsx: "automatic" },
  server: {
    port: 5173,
    strictPort: true,
    // The page and the API have one origin, so the browser sends the cookies, and goat accepts them. The
    // Host header stays that of the page.
    proxy: { "/api": process.env.GOAT_URL ?? "http://127.0.0.1:8080" },
  },
});
