// Looks again every 5 seconds, as long as somebody can see the page and something can change on it.
"use strict";
async function refresh() {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  if (document.visibilityState === "visible") {
    try {
      const answer = await fetch(location.href, { headers: { "landfall-refresh": "1" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.querySelector("main");
      // An answer that is an error says so on the page, which then stays as it is.
      if (next && next.innerHTML !== main.innerHTML) {
        const focused = main.contains(document.activeElement) && document.activeElement.getAttribute("href");
        main.replaceWith(document.adoptNode(next));
        if (focused) document.querySelector(`main a[href="${CSS.escape(focused)}"]`)?.focus();
      }
    } catch {
      document.title = "Landfall: the console has ended";
      return;
    }
  }
  setTimeout(refresh, 5000);
}
setTimeout(refresh, 5000);
