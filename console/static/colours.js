// The page's colours for what is drawn on a canvas, read again when light becomes dark.

const known = new Map();

export function colour(name) {
  if (!known.has(name)) known.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return known.get(name);
}

export function onScheme(again) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { known.clear(); again(); });
}
