(() => {
  const { next, way } = document.body.dataset;
  const part = (id) => document.getElementById(id);
  const goOn = () => (way === "reload" ? location.reload() : location.replace(next));
  // Stages come as text in the page's language; equal ones are not written again, for they would be read out again.
  const write = (id, text) => { if (part(id).textContent !== text) part(id).textContent = text; };
  const show = (now) => {
    write("title", now.title);
    write("say", now.say);
    write("more", now.more);
    document.title = now.title;
    part("steps").hidden = now.step < 0;
    [...part("steps").children].forEach((step, at) => {
      step.classList.toggle("done", at < now.step);
      if (at === now.step) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    });
  };
  const stream = new EventSource("/.poolgate/wait");
  stream.onmessage = (event) => show(JSON.parse(event.data));
  // Not sooner than two seconds after the page came: a place that cannot be had after all must not be asked for in a whirl.
  const soon = () => setTimeout(goOn, Math.max(0, 2000 - performance.now()));
  stream.addEventListener("ready", (event) => { stream.close(); show(JSON.parse(event.data)); soon(); });
  // It comes again by itself after a broken connection, and not after a refusal.
  stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) setTimeout(goOn, 5000 + 5000 * Math.random()); };
})();
