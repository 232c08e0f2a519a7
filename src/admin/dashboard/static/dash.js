// Keeps the page up to date: what changed on the gate is put in place by id. Without it the page renews itself as a whole.
(() => {
  const link = document.getElementById("link");
  const tell = (text) => { if (link.textContent !== text) link.textContent = text; };
  const part = (id) => document.getElementById(id);
  // What somebody is using stays theirs: focus returns to the same control, and what was opened stays open.
  const keep = (element, change) => {
    const active = document.activeElement;
    const held = element.contains(active) ? active.getAttribute("href") || active.id : null;
    const open = [...element.querySelectorAll("details[open][id]")].map((one) => one.id);
    const now = change() || element;
    open.forEach((id) => part(id)?.setAttribute("open", ""));
    if (held) [...now.querySelectorAll("a, [id]")].find((one) => one.getAttribute("href") === held || one.id === held)?.focus();
  };
  const element = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  };
  const put = (change) => {
    for (const [id, html] of Object.entries(change.blocks || {})) {
      const block = part(id);
      if (block && block.innerHTML !== html) keep(block, () => { block.innerHTML = html; });
    }
    const fresh = {};
    for (const [id, html] of Object.entries(change.rows || {})) {
      const row = element(html), old = part(id);
      if (!old) fresh[id] = row;
      else if (!old.isEqualNode(row)) keep(old, () => { old.replaceWith(row); return row; });
    }
    for (const [id, order] of Object.entries(change.order || {})) {
      const body = part(id);
      if (!body) continue;
      const wanted = order.map((row) => fresh[row] || part(row)).filter(Boolean);
      [...body.children].filter((row) => !wanted.includes(row)).forEach((row) => row.remove());
      wanted.forEach((row, at) => { if (body.children[at] !== row) body.insertBefore(row, body.children[at] || null); });
    }
  };
  const stream = new EventSource("/dash/live?page=" + encodeURIComponent(document.body.dataset.live));
  stream.onopen = () => tell("up to date");
  stream.onmessage = (event) => { put(JSON.parse(event.data)); tell("up to date"); };
  // It comes again by itself after a broken connection, and not after a refusal: then the page is asked for anew, and a login with it.
  stream.onerror = () => {
    tell("not connected to the gate; what is shown may be old");
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
  };
})();
