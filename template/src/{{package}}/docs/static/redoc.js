"use strict";
(() => {
  const box = document.getElementById("docs");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const dot = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  const probe = document.body.appendChild(document.createElement("i"));
  probe.hidden = true;
  // Redoc's colour maths reads only hex/rgb(): resolve any CSS colour (var, color-mix) to rgb().
  const col = (name) => {
    probe.style.color = `var(${name})`;
    dot.fillStyle = getComputedStyle(probe).color;
    dot.fillRect(0, 0, 1, 1);
    const [r, g, b] = dot.getImageData(0, 0, 1, 1).data;
    return `rgb(${r}, ${g}, ${b})`;
  };
  const theme = () => ({
    spacing: { unit: 5, sectionVertical: 32 },
    colors: {
      primary: { main: col("--accent") },
      success: { main: col("--ok") }, error: { main: col("--bad") },
      text: { primary: col("--text"), secondary: col("--muted") },
      border: { dark: col("--line"), light: col("--line") },
      gray: { 50: col("--panel"), 100: col("--line") },
    },
    schema: { nestedBackground: col("--panel"), linesColor: col("--line"), typeNameColor: col("--muted"),
              typeTitleColor: col("--accent"), labelsTextSize: "0.85em" },
    typography: {
      fontSize: "15px", fontFamily: "system-ui, sans-serif",
      headings: { fontFamily: "system-ui, sans-serif", fontWeight: "600" },
      code: { fontFamily: "ui-monospace, monospace", fontSize: "13px", color: col("--accent"),
              backgroundColor: col("--panel") },
      links: { color: col("--accent"), hover: col("--text"), visited: col("--accent") },
    },
    sidebar: { backgroundColor: col("--panel"), textColor: col("--text"), activeTextColor: col("--accent"), width: "270px" },
    rightPanel: { backgroundColor: col("--code-bg"), textColor: col("--code-text"), width: "38%" },
    codeBlock: { backgroundColor: col("--code-deep") },
  });
  const draw = () => {
    const fresh = document.createElement("div");
    box.replaceChildren(fresh);
    Redoc.init(new URL(box.dataset.openapi, location.href).href, {
      theme: theme(), scrollYOffset: 56, hideDownloadButtons: false, expandResponses: "200,201",
      requiredPropsFirst: true, sanitize: true, nativeScrollbars: true,
    }, fresh);
  };
  draw();
  dark.addEventListener("change", draw);
})();
