"use strict";
// Search, the colour scheme, and the menu on narrow screens. Everything else works without this file.
(() => {
  const root = document.documentElement.dataset.root;
  const input = document.getElementById("search");
  const list = document.getElementById("results");
  const status = document.getElementById("found");
  const most = 40;
  const index = (window.SPEC_INDEX || []).map(([title, kind, url, text]) => ({
    title, kind, url, text, low: title.toLowerCase(), all: `${title} ${kind} ${text}`.toLowerCase(),
  }));
  const order = { operation: 0, provider: 1, error: 2, model: 3, "run config": 4, setting: 5, "model field": 6 };
  let chosen = -1;

  function rank(entry, words, whole) {
    let points = order[entry.kind] ?? 7;
    if (entry.low === whole) points -= 40;
    else if (entry.low.startsWith(whole)) points -= 20;
    else if (entry.low.split(/[._\s/:-]+/).some((part) => part === whole)) points -= 15;
    points += 10 * words.filter((word) => !entry.low.includes(word)).length;
    return points;
  }

  function find(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return null;
    const found = index.filter((entry) => words.every((word) => entry.all.includes(word)));
    const whole = words.join(" ");
    const rated = found.map((entry, at) => [rank(entry, words, whole), at, entry]);
    rated.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
    return { words, count: found.length, entries: rated.slice(0, most).map((one) => one[2]) };
  }

  function marked(text, words) {
    const holder = document.createElement("span");
    const low = text.toLowerCase();
    let at = 0;
    while (at < text.length) {
      const next = words.map((word) => [low.indexOf(word, at), word.length]).filter(([place]) => place >= 0)
        .sort((one, other) => one[0] - other[0] || other[1] - one[1])[0];
      if (!next) break;
      holder.append(text.slice(at, next[0]));
      const mark = document.createElement("mark");
      mark.textContent = text.slice(next[0], next[0] + next[1]);
      holder.append(mark);
      at = next[0] + next[1];
    }
    holder.append(text.slice(at));
    return holder;
  }

  function item(entry, words, at) {
    const line = document.createElement("li");
    line.id = `result-${at}`;
    line.setAttribute("role", "option");
    line.setAttribute("aria-selected", "false");
    const kind = document.createElement("span");
    kind.className = "kind";
    kind.textContent = entry.kind;
    const more = document.createElement("span");
    more.className = "more";
    more.textContent = entry.text;
    line.append(kind, marked(entry.title, words), more);
    line.addEventListener("mousedown", (event) => { event.preventDefault(); go(entry); });
    return line;
  }

  function show() {
    const found = find(input.value);
    list.replaceChildren();
    chosen = -1;
    input.removeAttribute("aria-activedescendant");
    if (!found) return close();
    found.entries.forEach((entry, at) => list.append(item(entry, found.words, at)));
    list.entries_ = found.entries;
    if (!found.count) {
      const none = document.createElement("li");
      none.className = "none";
      none.textContent = "Nothing found";
      list.append(none);
    }
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    status.textContent = found.count === 1 ? "1 result" : `${found.count} results`;
    if (found.count) choose(0);
  }

  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    status.textContent = "";
  }

  function choose(at) {
    const lines = [...list.querySelectorAll("[role=option]")];
    if (!lines.length) return;
    chosen = (at + lines.length) % lines.length;
    lines.forEach((line, number) => line.setAttribute("aria-selected", String(number === chosen)));
    lines[chosen].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", lines[chosen].id);
  }

  function go(entry) {
    close();
    input.blur();
    window.location.href = root + entry.url;
  }

  input.addEventListener("input", show);
  input.addEventListener("focus", () => { if (input.value) show(); });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { close(); input.value = ""; input.blur(); return; }
    if (list.hidden) return;
    if (event.key === "ArrowDown") { event.preventDefault(); choose(chosen + 1); }
    if (event.key === "ArrowUp") { event.preventDefault(); choose(chosen - 1); }
    if (event.key === "Enter" && chosen >= 0) { event.preventDefault(); go(list.entries_[chosen]); }
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(input|textarea|select)$/i.test(document.activeElement?.tagName ?? "");
    const slash = event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (slash || (event.key === "k" && (event.ctrlKey || event.metaKey))) {
      event.preventDefault();
      input.focus();
      input.select();
    }
  });

  const theme = document.getElementById("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  function paint(value) {
    if (value) document.documentElement.dataset.theme = value;
    const now = value || (dark.matches ? "dark" : "light");
    theme.textContent = now === "dark" ? "Light" : "Dark";
    theme.setAttribute("aria-label", `Use ${now === "dark" ? "light" : "dark"} colours`);
    theme.hidden = false;
  }
  theme.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", next); } catch { /* pages without storage forget it */ }
    paint(next);
  });
  dark.addEventListener("change", () => paint(kept()));
  paint(kept());

  const menu = document.getElementById("menu");
  const narrow = window.matchMedia("(max-width: 52rem)");
  const fold = () => { menu.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
})();
