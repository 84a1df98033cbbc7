/**
 * The idea as a picture, `docs/pictures/streams.svg`: a prompt becomes P rows, each behind its own prefix; one set of
 * weights serves all rows; a small head weighs what comes out. Drawn for light and dark pages.
 */
const streams = 4
const colors = ['#0072b2', '#e69f00', '#009e73', '#cc79a7'] // Okabe and Ito's, which the colour-blind can tell apart
const tokens = ['The', 'capital', 'of', 'France', 'is']
/** What the aggregator gives each stream; made up, as the picture shows no model. */
const shares = [0.34, 0.16, 0.29, 0.21]

const [width, height] = [840, 284]
const rowHeight = 44
const rowAt = (stream: number) => 78 + stream * rowHeight

const text = (x: number, y: number, content: string, more = '') => `<text x="${x}" y="${y}" ${more}>${content}</text>`
const box = (x: number, y: number, w: number, h: number, more: string) =>
  `<rect x="${x}" y="${y}" width="${w}" height="${h}" rx="6" ${more}/>`
const line = (x1: number, y1: number, x2: number, y2: number) =>
  `<path class="line" d="M${x1} ${y1}C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}" marker-end="url(#tip)"/>`

/** Prefix and tokens of one row. */
function row(stream: number): string {
  const y = rowAt(stream)
  let x = 108
  const cells = tokens.map((token) => {
    const w = 14 + 7 * token.length
    const cell = box(x, y, w, 28, 'class="cell"') + text(x + w / 2, y + 18, token, 'text-anchor="middle" class="small"')
    x += w + 4
    return cell
  })
  return `${box(24, y, 78, 28, `fill="${colors[stream]}"`)}${text(63, y + 18, `prefix ${stream + 1}`, 'text-anchor="middle" class="small on"')}${cells.join('')}`
}

export function streamsPicture(): string {
  const middle = rowAt(0) + ((streams - 1) * rowHeight + 28) / 2
  const rows = Array.from({ length: streams }, (_, stream) => {
    const y = rowAt(stream) + 14
    return [
      row(stream),
      line(352, y, 388, y),
      line(546, y, 584, y),
      box(590, y - 8, 74, 16, 'class="track"'),
      box(590, y - 8, 74 * shares[stream]! * 2, 16, `fill="${colors[stream]}"`),
      line(670, y, 728, middle),
    ].join('\n')
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Four streams of one model: prompts behind four prefixes, one set of weights, an aggregator, one next token">
<style>
text{font:15px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.small{font-size:13px}.on{fill:#fff;font-weight:600}.title{font-weight:600}.note{font-size:12.5px;fill:#59636e}
.cell{fill:#f6f8fa;stroke:#d1d9e0}.model{fill:#f6f8fa;stroke:#59636e;stroke-width:1.5}.track{fill:#eaeef2}
.line{fill:none;stroke:#818b98;stroke-width:1.5}.tip{fill:#818b98}
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.note{fill:#9198a1}.cell{fill:#151b23;stroke:#3d444d}
.model{fill:#151b23;stroke:#9198a1}.track{fill:#2a313c}}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>
${text(24, 32, 'one prompt, P learned prefixes', 'class="title"')}
${text(24, 52, 'rows of one batch', 'class="note"')}
${text(394, 32, 'one model', 'class="title"')}
${text(394, 52, 'weights read once for all rows', 'class="note"')}
${text(590, 32, 'aggregator', 'class="title"')}
${text(590, 52, 'weighs each token anew', 'class="note"')}
${box(394, rowAt(0) - 4, 146, (streams - 1) * rowHeight + 36, 'class="model"')}
${text(467, middle - 2, 'shared', 'text-anchor="middle"')}
${text(467, middle + 18, 'weights', 'text-anchor="middle"')}
${rows.join('\n')}
${box(732, middle - 17, 84, 34, 'class="model"')}
${text(774, middle + 5, 'Paris', 'text-anchor="middle" class="title"')}
${text(24, height - 22, 'Worth about k ln P + 1 times the parameters; memory of the weights stays that of one model.', 'class="note"')}
</svg>
`
}
