for (const time of document.querySelectorAll("time")) {
  const at = new Date(time.dateTime);
  if (!isNaN(at)) time.textContent = at.toLocaleString(document.documentElement.lang, { dateStyle: "full", timeStyle: "short" });
}
