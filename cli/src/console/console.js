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
      if (answer.ok && next && next.innerHTML !== main.innerHTML && !main.contains(document.activeElement)) {
        main.replaceWith(document.adoptNode(next));
      }
    } catch {
      document.title = "Landfall: the console has ended";
      return;
    }
  }
  setTimeout(refresh, 5000);
}
setTimeout(refresh, 5000);
