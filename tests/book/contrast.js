// Returns [number of visible texts, ground of the page, texts that are too pale]: for every piece of text the contrast, as
// WCAG 2 defines it, of its colour with the colours behind it. At least 4.5 is wanted, for large text 3.
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const seen = new Map();
function rgba(text) {
  if (!seen.has(text)) {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    seen.set(text, [r, g, b, a / 255]);
  }
  return seen.get(text);
}
const over = (top, below) => [0, 1, 2].map(i => top[3] * top[i] + (1 - top[3]) * below[i]).concat(1);
function ground(element) {
  const layers = [];
  for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
  const page = document.documentElement.dataset.theme == 'dark' ? [0, 0, 0, 1] : [255, 255, 255, 1];
  return layers.reverse().reduce((below, top) => over(top, below), page);
}
function luminance(c) {
  const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function opacity(element) {
  let product = 1;
  for (let e = element; e; e = e.parentElement) product *= Number(getComputedStyle(e).opacity);
  return product;
}
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let texts = 0;
while (walker.nextNode()) {
  const node = walker.currentNode, element = node.parentElement;
  if (!node.data.trim() || element.closest('script, style, noscript, mjx-assistive-mml, [aria-hidden=true], template')) continue;
  if (!element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true})) continue;
  const box = element.getBoundingClientRect();
  if (box.width < 2 || box.height < 2) continue;
  texts++;
  const style = getComputedStyle(element), behind = ground(element), ink = rgba(style.color).slice();
  ink[3] *= opacity(element);
  const [a, b] = [luminance(over(ink, behind)), luminance(behind)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  if (ratio < (large ? 3 : 4.5)) {
    found.push(`${ratio.toFixed(2)} ${element.tagName}.${element.className} ${style.color} "${node.data.trim().slice(0, 40)}"`);
  }
}
return [texts, getComputedStyle(document.body).backgroundColor, found];
