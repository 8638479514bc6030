// Makes a tree equal to a fresh one by changing only what differs: focus, selection, scroll, and what a reader opened
// survive. Text and attributes are copied from a parsed page of our own, so nothing here makes markup out of data.

/** What the reader or the script has made of an element, and the server knows nothing of. */
function kept(element, name) {
  if (name === "open") return element.nodeName === "DETAILS";
  return (element.dataset?.own ?? "").split(" ").includes(name);
}

function attributes(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (!kept(old, name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!kept(old, name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
}

function alike(old, fresh) {
  return old.nodeName === fresh.nodeName && (old.id ?? "") === (fresh.id ?? "");
}

function children(old, fresh) {
  const named = new Map([...old.children].filter((one) => one.id).map((one) => [one.id, one]));
  const staying = new Set([...fresh.children].map((one) => one.id).filter(Boolean));
  let done = null;
  const next = () => (done ? done.nextSibling : old.firstChild);

  /** The element of that id, brought here; what stands before it is removed rather than it moved, as a move loses the focus. */
  const bring = (known) => {
    for (let one = next(); one && one !== known; ) {
      const follows = one.nextSibling;
      if (!staying.has(one.id)) one.remove();
      one = follows;
    }
    if (next() !== known) old.insertBefore(known, next());
    return known;
  };

  for (const one of [...fresh.childNodes]) {
    const known = one.id ? named.get(one.id) : null;
    const candidate = known ? bring(known) : next();
    if (candidate && alike(candidate, one)) {
      node(candidate, one);
      done = candidate;
    } else {
      done = old.insertBefore(document.importNode(one, true), next());
    }
  }
  while (next()) next().remove();
}

function node(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.hasAttribute("data-keep")) return;
  attributes(old, fresh);
  children(old, fresh);
}

/** Makes the inside of `old` equal to that of `fresh`. */
export function morph(old, fresh) {
  children(old, fresh);
}
