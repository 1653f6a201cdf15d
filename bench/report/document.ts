/**
 * `document` with one section of the part between `<!-- generated: PART -->` and `<!-- /generated -->` written anew.
 * Other sections of the part stay, and all are kept in alphabetical order.
 *
 * @param heading a heading of level 3, which a section begins with and is known by
 * @throws Error when the document lacks the markers.
 */
export function replaceGenerated(document: string, part: string, heading: string, section: string): string {
  const beginMarker = `<!-- generated: ${part} -->`;
  const endMarker = '<!-- /generated -->';
  const begin = document.indexOf(beginMarker);
  const end = document.indexOf(endMarker, begin);
  if (begin < 0 || end < 0) {
    throw new Error(`the document has no part between "${beginMarker}" and "${endMarker}"`);
  }
  const others = document
    .slice(begin + beginMarker.length, end)
    .split(/^(?=### )/m)
    .map((other) => other.trim())
    .filter((other) => other.startsWith('### ') && other.split('\n')[0] !== heading);
  const sections = [...others, `${heading}\n\n${section}`].toSorted();
  return `${document.slice(0, begin)}${beginMarker}\n\n${sections.join('\n\n')}\n\n${document.slice(end)}`;
}
